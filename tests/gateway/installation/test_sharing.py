"""Processes that share areas, with a real broker, a real Redis and signals."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from gateway_servers import Mosquitto, RedisServer
from installation import Program, trading, until_health, until_shared, write_scenarios

AREAS = [f"area-{number}" for number in range(6)]


@pytest.mark.slow
async def test_areas_move_to_those_who_live_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    scenarios = write_scenarios(tmp_path, AREAS)
    with Mosquitto(tmp_path) as broker, RedisServer(tmp_path) as redis, ExitStack() as stack:
        environment = {
            "DOE_MQTT_URL": f"mqtt://127.0.0.1:{broker.port}",
            "DOE_REDIS_URL": redis.url,
        }

        def start(name: str) -> Program:
            program = Program(scenarios, tmp_path / name, environment)
            stack.callback(program.end)
            return program

        one, two, three = start("one"), start("two"), start("three")
        await until_shared([one, two, three], [2, 2, 2])
        async with trading(broker.port, AREAS) as trades:
            one.process.kill()
            four = start("four")
            await until_health(lambda: len(two.areas() | three.areas()) == 6, "all are served")
            await until_shared([two, three, four], [2, 2, 2])
            stopped = two.areas()
            two.pause()
            await until_shared([three, four], [3, 3])
            two.go_on()
            await until_health(
                lambda: stopped <= two.areas("standby_at_entry") | two.areas(), "it follows"
            )
            await until_shared([two, three, four], [2, 2, 2])
        assert await trades.check(redis.url) > 6 * 2
        assert [program.finish() for program in (two, three, four)] == [0, 0, 0]
