// SPDX-License-Identifier: MIT
pragma solidity 0.8.28;

/// Where withdrawals begin: each is a hash in slot 0's mapping, proven on L1 against this contract's storage root.
contract L2ToL1MessagePasser {
    uint16 public constant MESSAGE_VERSION = 1;
    string public constant version = "l2engine-dev";

    mapping(bytes32 => bool) public sentMessages; // slot 0
    uint240 private nonce; // slot 1

    event MessagePassed(
        uint256 indexed nonce,
        address indexed sender,
        address indexed target,
        uint256 value,
        uint256 gasLimit,
        bytes data,
        bytes32 withdrawalHash
    );
    event WithdrawerBalanceBurnt(uint256 indexed amount);

    receive() external payable {
        initiateWithdrawal(msg.sender, 100_000, "");
    }

    /// Ask for a call of `target` on L1 with the value sent along.
    function initiateWithdrawal(address target, uint256 gasLimit, bytes memory data) public payable {
        uint256 number = messageNonce();
        bytes32 withdrawal = keccak256(abi.encode(number, msg.sender, target, msg.value, gasLimit, data));
        sentMessages[withdrawal] = true;
        emit MessagePassed(number, msg.sender, target, msg.value, gasLimit, data, withdrawal);
        nonce++;
    }

    /// The next message's nonce, its version in the two highest bytes.
    function messageNonce() public view returns (uint256) {
        return uint256(nonce) | (uint256(MESSAGE_VERSION) << 240);
    }

    /// Remove the ether that was withdrawn from the supply of L2.
    function burn() external {
        uint256 amount = address(this).balance;
        new Burner{value: amount}();
        emit WithdrawerBalanceBurnt(amount);
    }
}

contract Burner {
    constructor() payable {
        selfdestruct(payable(address(this)));
    }
}
