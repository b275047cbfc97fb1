"""Hardhat Ignition deploys to a dev chain and ends: it asks hardhat_getAutomine, and does not wait for blocks that nobody makes."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.helpers.running import RunningNode

PACKAGES = ("hardhat@2", "@nomicfoundation/hardhat-ignition@0.15", "@nomicfoundation/hardhat-ignition-ethers@0.15")
PACKAGES += ("@nomicfoundation/ignition-core@0.15", "@nomicfoundation/hardhat-ethers@3", "@nomicfoundation/hardhat-verify@2", "ethers@6")
PACKAGES += ("solc@0.8.28",)
FILES = {
    "hardhat.config.js": """
require("@nomicfoundation/hardhat-ignition-ethers");
const { subtask } = require("hardhat/config");
const solc = { compilerPath: require.resolve("solc/soljson.js"), isSolcJs: true, longVersion: require("solc").version() };
subtask("compile:solidity:solc:get-build", async (args) => ({ ...solc, version: args.solcVersion })); // npm's, no download
module.exports = { solidity: "0.8.28", networks: { dev: { url: process.env.URL } } };
""",
    "contracts/Box.sol": """
// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;
contract Box { uint public value; constructor(uint first) { value = first; } function set(uint next) external { value = next; } }
""",
    "ignition/modules/Box.js": """
const { buildModule } = require("@nomicfoundation/hardhat-ignition/modules");
module.exports = buildModule("BoxModule", (m) => { const box = m.contract("Box", [7]); m.call(box, "set", [9]); return { box }; });
""",
}


@pytest.mark.interop
@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_ignition_deploys_and_ends(tmp_path: Path) -> None:
    install = ["npm", "install", "--no-audit", "--no-fund", "--silent", "--prefix", str(tmp_path), *PACKAGES]
    subprocess.run(install, check=True, timeout=600)
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    with RunningNode("dev") as node:
        command = ["npx", "--no-install", "hardhat", "ignition", "deploy", "ignition/modules/Box.js", "--network", "dev"]
        environment = os.environ | {"URL": node.http, "HARDHAT_IGNITION_CONFIRM_DEPLOYMENT": "true"}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        assert "successfully deployed" in done.stdout
        contract = done.stdout.rpartition(" - ")[2].split()[0]
        assert int(node.call("eth_call", {"to": contract, "data": "0x3fa4f245"}, "latest"), 16) == 9  # value()
