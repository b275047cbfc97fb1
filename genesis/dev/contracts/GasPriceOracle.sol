// SPDX-License-Identifier: MIT
pragma solidity 0.8.28;

import {L1Block} from "./L1Block.sol";

/// What a transaction pays beside gas: the L1 data fee by the formula of the fork, and the operator fee.
contract GasPriceOracle {
    L1Block private constant L1_BLOCK = L1Block(0x4200000000000000000000000000000000000015);
    uint256 private constant SIGNATURE_LENGTH = 68; // callers pass unsigned transactions
    uint256 private constant MINIMUM_SIZE = 100e6; // Fjord's estimate, in millionths of a byte

    uint256 public constant decimals = 6;
    string public constant version = "l2engine-dev";

    bool public isEcotone; // slot 0
    bool public isFjord;
    bool public isIsthmus;
    bool public isJovian;

    modifier onlyDepositor() {
        require(msg.sender == L1_BLOCK.DEPOSITOR_ACCOUNT(), "GasPriceOracle: only the depositor account can set a fork");
        _;
    }

    function setEcotone() external onlyDepositor {
        isEcotone = true;
    }

    function setFjord() external onlyDepositor {
        isFjord = true;
    }

    function setIsthmus() external onlyDepositor {
        isIsthmus = true;
    }

    function setJovian() external onlyDepositor {
        isJovian = true;
    }

    function gasPrice() external view returns (uint256) {
        return block.basefee;
    }

    function baseFee() external view returns (uint256) {
        return block.basefee;
    }

    function l1BaseFee() public view returns (uint256) {
        return L1_BLOCK.basefee();
    }

    function overhead() external view returns (uint256) {
        require(!isEcotone, "GasPriceOracle: overhead() is deprecated");
        return L1_BLOCK.l1FeeOverhead();
    }

    function scalar() external view returns (uint256) {
        require(!isEcotone, "GasPriceOracle: scalar() is deprecated");
        return L1_BLOCK.l1FeeScalar();
    }

    function blobBaseFee() external view returns (uint256) {
        return L1_BLOCK.blobBaseFee();
    }

    function baseFeeScalar() external view returns (uint32) {
        return L1_BLOCK.baseFeeScalar();
    }

    function blobBaseFeeScalar() external view returns (uint32) {
        return L1_BLOCK.blobBaseFeeScalar();
    }

    /// The L1 fee in wei of an unsigned transaction.
    function getL1Fee(bytes calldata data) external view returns (uint256) {
        if (isFjord) return _fjordFee(_fjordSize(_compressedLength(data) + SIGNATURE_LENGTH));
        if (isEcotone) return _calldataGas(data) * _weightedPrice() / 16e6;
        return (_calldataGas(data) + L1_BLOCK.l1FeeOverhead()) * l1BaseFee() * L1_BLOCK.l1FeeScalar() / 1e6;
    }

    /// An upper bound of the L1 fee, from the length of an unsigned transaction alone.
    function getL1FeeUpperBound(uint256 length) external view returns (uint256) {
        require(isFjord, "GasPriceOracle: getL1FeeUpperBound only supports Fjord");
        uint256 signed = length + SIGNATURE_LENGTH;
        return _fjordFee(_fjordSize(signed + signed / 255 + 16));
    }

    function getL1GasUsed(bytes calldata data) external view returns (uint256) {
        if (isFjord) return _fjordSize(_compressedLength(data) + SIGNATURE_LENGTH) * 16 / 1e6;
        return _calldataGas(data) + (isEcotone ? 0 : L1_BLOCK.l1FeeOverhead());
    }

    /// The operator fee in wei of a transaction that uses `gas`.
    function getOperatorFee(uint256 gas) external view returns (uint256) {
        if (!isIsthmus) return 0;
        uint256 proportional = gas * L1_BLOCK.operatorFeeScalar();
        return (isJovian ? proportional * 100 : proportional / 1e6) + L1_BLOCK.operatorFeeConstant();
    }

    function _weightedPrice() private view returns (uint256) {
        return 16 * uint256(L1_BLOCK.baseFeeScalar()) * l1BaseFee() + uint256(L1_BLOCK.blobBaseFeeScalar()) * L1_BLOCK.blobBaseFee();
    }

    function _fjordFee(uint256 size) private view returns (uint256) {
        return size * _weightedPrice() / 1e12;
    }

    /// Estimated size in a batch, in millionths of a byte, from the length that FastLZ gives.
    function _fjordSize(uint256 compressed) private pure returns (uint256) {
        uint256 slope = 836500 * compressed;
        uint256 size = slope > 42585600 ? slope - 42585600 : 0;
        return size < MINIMUM_SIZE ? MINIMUM_SIZE : size;
    }

    function _calldataGas(bytes calldata data) private pure returns (uint256 gas) {
        gas = SIGNATURE_LENGTH * 16;
        for (uint256 i = 0; i < data.length; i++) {
            gas += data[i] == 0 ? 4 : 16;
        }
    }

    /// The length of `data` after FastLZ (level 1), without compressing it: runs of literals, and matches up to 8,191 bytes back.
    function _compressedLength(bytes calldata data) private pure returns (uint256 total) {
        uint256[8192] memory last; // where a hash of three bytes was last seen
        uint256 limit = data.length < 13 ? 0 : data.length - 13;
        uint256 literal = 0; // where the open run of literals begins
        uint256 at = 2;
        while (at < limit) {
            uint256 three = _threeBytes(data, at);
            uint256 slot = _slot(three);
            uint256 before = last[slot];
            last[slot] = at;
            if (at - before > 8191 || three != _threeBytes(data, before)) {
                at++;
                continue;
            }
            if (at + 1 >= limit) break; // the reference encoder looks for a match only with a byte to spare
            if (at > literal) total += _literals(at - literal);
            uint256 length = _matchLength(data, before + 3, at + 3, limit + 9);
            total += 3 * ((length - 1) / 262) + ((length - 1) % 262 >= 6 ? 3 : 2);
            at += length;
            last[_slot(_threeBytes(data, at))] = at;
            at++;
            last[_slot(_threeBytes(data, at))] = at;
            at++;
            literal = at;
        }
        total += _literals(data.length - literal);
    }

    function _literals(uint256 run) private pure returns (uint256) {
        return 33 * (run / 32) + (run % 32 == 0 ? 0 : run % 32 + 1);
    }

    /// Equal bytes from `a` and `b` on, plus the one that differs; `b` stays below `end`.
    function _matchLength(bytes calldata data, uint256 a, uint256 b, uint256 end) private pure returns (uint256 length) {
        while (b + length < end) {
            length++;
            if (data[a + length - 1] != data[b + length - 1]) break;
        }
    }

    function _threeBytes(bytes calldata data, uint256 at) private pure returns (uint256) {
        return uint256(uint8(data[at])) | (uint256(uint8(data[at + 1])) << 8) | (uint256(uint8(data[at + 2])) << 16);
    }

    function _slot(uint256 three) private pure returns (uint256) {
        return ((2654435769 * three) >> 19) & 8191;
    }
}
