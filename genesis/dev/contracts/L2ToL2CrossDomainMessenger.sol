// SPDX-License-Identifier: MIT
pragma solidity 0.8.28;

import {CrossL2Inbox, Identifier} from "CrossL2Inbox.sol";

/// Stand-in for the predeploy at 0x4200…0023: messages to and from the other chains of the dependency set, on top of CrossL2Inbox.
/// Left out: guards against re-entering a relay, and the sender's context for the called contract.
contract L2ToL2CrossDomainMessenger {
    CrossL2Inbox private constant INBOX = CrossL2Inbox(0x4200000000000000000000000000000000000022);
    bytes32 private constant SENT = keccak256("SentMessage(uint256,address,uint256,address,bytes)");

    uint256 public messageNonce;
    mapping(bytes32 => bool) public successfulMessages;

    error MessageDestinationSameChain();
    error IdOriginNotL2ToL2CrossDomainMessenger();
    error EventPayloadNotSentMessage();
    error MessageDestinationNotRelayChain();
    error MessageAlreadyRelayed();

    event SentMessage(uint256 indexed destination, address indexed target, uint256 indexed messageNonce, address sender, bytes message);
    event RelayedMessage(uint256 indexed source, uint256 indexed messageNonce, bytes32 indexed messageHash, bytes32 returnDataHash);

    function sendMessage(uint256 destination, address target, bytes calldata message) external returns (bytes32) {
        if (destination == block.chainid) revert MessageDestinationSameChain();
        uint256 nonce = messageNonce++;
        emit SentMessage(destination, target, nonce, msg.sender, message);
        return keccak256(abi.encode(destination, block.chainid, nonce, msg.sender, target, message));
    }

    /// `sentMessage` is the log of the sending chain: its topics, then its data. A call that fails takes everything back.
    function relayMessage(Identifier calldata id, bytes calldata sentMessage) external payable returns (bytes memory returned) {
        if (id.origin != address(this)) revert IdOriginNotL2ToL2CrossDomainMessenger();
        INBOX.validateMessage(id, keccak256(sentMessage));
        if (bytes32(sentMessage[:32]) != SENT) revert EventPayloadNotSentMessage();
        (uint256 destination, address target, uint256 nonce) = abi.decode(sentMessage[32:128], (uint256, address, uint256));
        (address sender, bytes memory message) = abi.decode(sentMessage[128:], (address, bytes));
        if (destination != block.chainid) revert MessageDestinationNotRelayChain();
        bytes32 messageHash = keccak256(abi.encode(destination, id.chainId, nonce, sender, target, message));
        if (successfulMessages[messageHash]) revert MessageAlreadyRelayed();
        successfulMessages[messageHash] = true;
        bool ok;
        (ok, returned) = target.call{value: msg.value}(message);
        if (!ok) {
            assembly {
                revert(add(returned, 32), mload(returned))
            }
        }
        emit RelayedMessage(id.chainId, nonce, messageHash, keccak256(returned));
    }
}
