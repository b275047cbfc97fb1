// SPDX-License-Identifier: MIT
pragma solidity 0.8.28;

/// Where a message of another chain of the dependency set comes from: the log that it is.
struct Identifier {
    address origin;
    uint256 blockNumber;
    uint256 logIndex;
    uint256 timestamp;
    uint256 chainId;
}

/// Stand-in for the predeploy at 0x4200…0022: a transaction may execute a message when its access list holds the message's checksum.
/// Whether the message was ever sent is for others to check, as on a real chain; on a dev chain nobody does.
contract CrossL2Inbox {
    uint256 private constant ENOUGH_IF_WARM = 1500; // a warm slot costs 100 to read, a cold one 2100

    error NotInAccessList();
    error BlockNumberTooHigh();
    error TimestampTooHigh();
    error LogIndexTooHigh();

    event ExecutingMessage(bytes32 indexed msgHash, Identifier id);

    function validateMessage(Identifier calldata id, bytes32 msgHash) external {
        bytes32 checksum = calculateChecksum(id, msgHash);
        if (!isWarm(checksum)) revert NotInAccessList();
        emit ExecutingMessage(msgHash, id);
    }

    /// The storage key that the access list must name.
    function calculateChecksum(Identifier calldata id, bytes32 msgHash) public pure returns (bytes32) {
        if (id.blockNumber > type(uint64).max) revert BlockNumberTooHigh();
        if (id.logIndex > type(uint32).max) revert LogIndexTooHigh();
        if (id.timestamp > type(uint64).max) revert TimestampTooHigh();
        bytes32 log = keccak256(abi.encodePacked(id.origin, msgHash));
        bytes32 place = bytes32(abi.encodePacked(uint96(0), uint64(id.blockNumber), uint64(id.timestamp), uint32(id.logIndex)));
        bytes32 bare = keccak256(abi.encodePacked(keccak256(abi.encodePacked(log, place)), id.chainId));
        return (bare & bytes32(type(uint256).max >> 8)) | bytes32(uint256(3) << 248);
    }

    function isWarm(bytes32 slot) private view returns (bool ok) {
        (ok,) = address(this).staticcall{gas: ENOUGH_IF_WARM}(abi.encodeCall(this.read, slot));
    }

    function read(bytes32 slot) external view returns (bytes32 value) {
        assembly {
            value := sload(slot)
        }
    }
}
