// SPDX-License-Identifier: MIT
pragma solidity 0.8.28;

/// Collects one kind of fee; anyone may send what is there to the recipient. All four vaults share this code.
contract FeeVault {
    string public constant version = "l2engine-dev";
    uint256 public constant MIN_WITHDRAWAL_AMOUNT = 0;

    uint256 public totalProcessed; // slot 0
    address payable public recipient; // slot 1, set in the genesis

    event Withdrawal(uint256 value, address to, address from);

    receive() external payable {}

    function RECIPIENT() external view returns (address) {
        return recipient;
    }

    function withdraw() external returns (uint256 value) {
        value = address(this).balance;
        totalProcessed += value;
        emit Withdrawal(value, recipient, msg.sender);
        (bool sent,) = recipient.call{value: value}("");
        require(sent, "FeeVault: failed to send ETH to the recipient");
    }
}
