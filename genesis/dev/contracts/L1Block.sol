// SPDX-License-Identifier: MIT
pragma solidity 0.8.28;

/// What the chain knows of L1, written by the first deposit of every block.
/// The order of the variables is the storage layout that execution engines read fees from: do not change it.
contract L1Block {
    address public constant DEPOSITOR_ACCOUNT = 0xDeaDDEaDDeAdDeAdDEAdDEaddeAddEAdDEAd0001;
    string public constant version = "l2engine-dev";

    uint64 public number; // slot 0
    uint64 public timestamp;
    uint256 public basefee; // slot 1
    bytes32 public hash; // slot 2
    uint64 public sequenceNumber; // slot 3
    uint32 public blobBaseFeeScalar;
    uint32 public baseFeeScalar;
    bytes32 public batcherHash; // slot 4
    uint256 public l1FeeOverhead; // slot 5, until Ecotone
    uint256 public l1FeeScalar; // slot 6, until Ecotone
    uint256 public blobBaseFee; // slot 7, from Ecotone
    uint64 public operatorFeeConstant; // slot 8, from Isthmus
    uint32 public operatorFeeScalar;
    uint16 public daFootprintGasScalar; // from Jovian

    modifier onlyDepositor() {
        require(msg.sender == DEPOSITOR_ACCOUNT, "L1Block: only the depositor account can set L1 block values");
        _;
    }

    function setL1BlockValues(
        uint64 number_,
        uint64 timestamp_,
        uint256 basefee_,
        bytes32 hash_,
        uint64 sequenceNumber_,
        bytes32 batcherHash_,
        uint256 l1FeeOverhead_,
        uint256 l1FeeScalar_
    ) external onlyDepositor {
        number = number_;
        timestamp = timestamp_;
        basefee = basefee_;
        hash = hash_;
        sequenceNumber = sequenceNumber_;
        batcherHash = batcherHash_;
        l1FeeOverhead = l1FeeOverhead_;
        l1FeeScalar = l1FeeScalar_;
    }

    function setL1BlockValuesEcotone() external onlyDepositor {
        _setEcotone();
    }

    function setL1BlockValuesIsthmus() external onlyDepositor {
        _setEcotone();
        _setIsthmus();
    }

    function setL1BlockValuesJovian() external onlyDepositor {
        _setEcotone();
        _setIsthmus();
        daFootprintGasScalar = uint16(bytes2(msg.data[176:178]));
    }

    /// From Ecotone on the arguments follow the selector without padding.
    function _setEcotone() private {
        baseFeeScalar = uint32(bytes4(msg.data[4:8]));
        blobBaseFeeScalar = uint32(bytes4(msg.data[8:12]));
        sequenceNumber = uint64(bytes8(msg.data[12:20]));
        timestamp = uint64(bytes8(msg.data[20:28]));
        number = uint64(bytes8(msg.data[28:36]));
        basefee = uint256(bytes32(msg.data[36:68]));
        blobBaseFee = uint256(bytes32(msg.data[68:100]));
        hash = bytes32(msg.data[100:132]);
        batcherHash = bytes32(msg.data[132:164]);
    }

    function _setIsthmus() private {
        operatorFeeScalar = uint32(bytes4(msg.data[164:168]));
        operatorFeeConstant = uint64(bytes8(msg.data[168:176]));
    }
}
