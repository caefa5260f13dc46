"""Three rounds of `make torture` (tests/torture/kill9.py): the real server, killed under load."""
import importlib.util
import pathlib
import random

import pytest

PATH = pathlib.Path(__file__).resolve().parents[1] / "torture/kill9.py"


@pytest.mark.parametrize("durability", ["none", "full"])
def test_three_kills_under_load(tmp_path, durability):
    spec = importlib.util.spec_from_file_location("kill9", PATH)
    kill9 = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(kill9)
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    torture = kill9.Torture(tmp_path, seed, durability)
    try:
        figures = torture.run(3, slowest=30.0)
    finally:
        if torture.server.process is not None:
            torture.server.kill9()
            print(torture.server.log_tail(20))
    assert figures["requests"] > 0 and figures["entries checked"] > 0 and figures["listings"] > 0
