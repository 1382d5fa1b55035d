// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {IArbExecutor} from "../../src/arbitrage/IArbExecutor.sol";
import {Cycles} from "./Cycles.sol";

/// @notice What executions cost, kept in contracts/gas: a change that makes one dearer shows in its diff.
contract ArbExecutorGasTest is Cycles {
    function setUp() public {
        _build();
        _skew(300_000e6);
        _skewV4(200_000e6);
        // The beneficiary holds something, as it does from its second profit on.
        _give(usdc, beneficiary, 1);
        _give(weth, beneficiary, 1);
    }

    function test_gasOfEachFunding() public {
        string[6] memory names = ["own", "flash swap", "flash v3", "unlock v4", "aave", "balancer"];
        for (uint256 i = 0; i < 6; ++i) {
            _measure(
                string.concat("usdc: v3, v2; ", names[i]),
                _arbitrage(IArbExecutor.Funding(i), usdc, 20_000e6),
                _fromUsdc()
            );
        }
    }

    function test_gasOfEachStep() public {
        _measure("weth: v2, v4, wrap; own", _arbitrage(IArbExecutor.Funding.Own, weth, 10 ether), _fromWeth());
        _measure(
            "usdc: v4, v4; unlock v4",
            _arbitrage(IArbExecutor.Funding.UnlockV4, usdc, 20_000e6),
            _steps(_v4(usdc, address(0), 500), _v4(address(0), usdc, 3000))
        );
        _measure(
            "usdc: v3, v2, curve, balancer; own",
            _arbitrage(IArbExecutor.Funding.Own, usdc, 20_000e6),
            _steps(_v3(usdc, weth, 500), _v2(weth, usdc), _curve(usdc, dai), _balancer(dai, usdc))
        );
        IArbExecutor.Arbitrage memory tipped = _arbitrage(IArbExecutor.Funding.FlashSwap, weth, 10 ether);
        tipped.tipBps = 1000;
        _measure("weth: v2, v4, wrap; flash swap, tip", tipped, _fromWeth());
    }

    function _measure(string memory name, IArbExecutor.Arbitrage memory arbitrage, IArbExecutor.Step[] memory steps)
        private
    {
        uint256 state = vm.snapshotState();
        vm.prank(operator);
        executor.execute(arbitrage, steps);
        vm.snapshotGasLastCall("ArbExecutor", name);
        vm.revertToState(state);
    }
}
