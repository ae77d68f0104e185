# SPDX-License-Identifier: Apache-2.0
"""One of two processes that write one log: `hammer.py HOME OBJECTS HEAD NUMBER`, until it is killed or told to end.

Says `ack INDEX SEQUENCE` for every statement that the log acknowledged, and ends when its input does.
"""

from __future__ import annotations

import importlib.util
import select
import sys
import time
from pathlib import Path

from pausectl.errors import Unavailable
from pausectl.log.log import Log
from pausectl.log.storage.config import Places
from pausectl.sim import terms

spec = importlib.util.spec_from_file_location("log_conftest", Path(__file__).parent / "conftest.py")
conftest = importlib.util.module_from_spec(spec)
sys.modules["log_conftest"] = conftest
spec.loader.exec_module(conftest)


def main(home: str, objects: str, head: str, number: int) -> None:
    roll = terms.Roll()
    keys = {name: terms.demo_key(name) for name in terms.names(roll)}
    world = conftest.World(roll, keys, terms.agree(roll, keys), Path(home))
    if (world.home / "store.toml").exists():
        log = Log.open(world.home, world.signer)
    else:
        log = Log.join(world.home, world.agreement, world.signer, Places(objects, head))
    with log:
        print("open", flush=True)
        step = 0
        while not select.select([sys.stdin], [], [], 0)[0]:
            # What both hand in, and what only this one does.
            batch = [step, 100_000 * number + step][: 1 + step % 2]
            try:
                answers = log.add([world.entry(sequence) for sequence in batch])
            except Unavailable as error:
                print(f"unavailable {error}", flush=True)
                time.sleep(0.02)
                continue
            for sequence, answer in zip(batch, answers, strict=True):
                print(f"ack {answer.index} {sequence}", flush=True)
            step += 1


main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
