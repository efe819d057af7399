"""`toolyard dev` in an empty folder: what it prints is true, and a first call works when it is pasted."""

import json
import shutil
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.support.embedded import Dev, clean_environment, first_call
from tests.support.processes import Process, console_script, free_port

pytestmark = pytest.mark.usefixtures("uncounted")


def dev(folder: Path, *options: str, **env: str) -> Process:
    return Process(console_script("toolyard", "dev", *options), cwd=folder, env={**clean_environment(), **env})


def paste(line: str) -> tuple[int, str]:
    """Runs the line in a shell as a person would; where curl is missing, the same request by httpx."""
    if shutil.which("curl"):
        shell = subprocess.run(
            ["sh", "-c", f"{line} -w '\\n%{{http_code}}'"], capture_output=True, text=True, timeout=60, check=True
        )
        body, _, status = shell.stdout.rpartition("\n")
        return int(status), body
    import shlex

    print("curl is missing: the same request is sent by httpx")
    words = shlex.split(line)
    headers = dict(words[at + 1].split(": ", 1) for at, word in enumerate(words) if word == "-H")
    answer = httpx.post(words[2], headers=headers, content=words[words.index("-d") + 1], trust_env=False)
    return answer.status_code, answer.text


def test_the_printed_call_works_when_pasted(tmp_path: Path):
    with dev(tmp_path, "--port", str(free_port())) as process:
        process.wait_for_line("^curl ")
        status, body = paste(first_call(process.output()))
        assert status == 200, body
        call = json.loads(body)
        assert (call["state"], call["tool"], call["effect"]) == ("succeeded", "weather", "done")
        assert call["result"]["structured"]["city"] == "Lisbon"
        assert process.terminate() == 0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """One for the tests that only look at it or call it."""
    with Dev(tmp_path_factory.mktemp("dev")) as dev:
        yield dev


def test_all_sample_tools_do_what_they_say(running: Dev):
    names = {tool["name"] for tool in running.client.get("/v1/tools").json()["items"]}
    assert names == {"weather", "create_note", "slow_report", "count_words"}
    note = running.call("create_note", {"title": "a", "text": "b"}, wait=30)
    assert note["result"]["structured"]["title"] == "a"
    report = running.call("slow_report", {"seconds": 0.1}, wait=30)
    assert report["result"]["structured"]["report"] == "all is well"
    counted = running.call("count_words", {"text": "Über Zürich, über alles"}, wait=30)
    assert counted["result"]["structured"] == {"über": 2, "zürich": 1, "alles": 1}
    assert (counted["report"]["logs"], counted["report"]["isolation"]) == (
        "4 words\n",
        running.told["sandbox"]["isolation"],
    )
    weather = running.call("weather", {"city": "São Paulo / ?"}, wait=30)
    assert weather["result"]["structured"]["city"] == "São Paulo / ?"


def test_its_folder_is_its_owners_alone(running: Dev):
    data = running.folder / ".toolyard"
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert [stat.S_IMODE((data / name).stat().st_mode) for name in ("key", "signing")] == [0o600, 0o600]


def test_the_second_start_finds_key_tools_and_calls_of_the_first(tmp_path: Path):
    with Dev(tmp_path) as first:
        call = first.call("weather", {"city": "Oslo"}, wait=30)
    with Dev(tmp_path) as second:
        assert second.told["api_key"] == first.told["api_key"]
        assert second.client.get("/v1/tools/weather").json()["version"] == 1
        assert second.end_of(call["call_id"])["result"] == call["result"]


def test_a_second_process_in_the_same_folder_is_told_who_holds_it(running: Dev):
    with dev(running.folder, "--port", str(free_port())) as second:
        assert second.wait() == 1
        assert f"in use by process {running.process.pid}" in second.output()
        assert "TOOLYARD_DATA" in second.output()


def test_a_taken_port_that_was_asked_for_stops_the_start_with_advice(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with dev(tmp_path, "--port", str(port)) as process:
            assert process.wait() == 1
            assert f"the port {port} on 127.0.0.1 is taken" in process.output()


def test_where_no_port_was_asked_for_the_printed_one_is_free(tmp_path: Path):
    with Dev(tmp_path, port=None) as first:
        other = tmp_path / "other"
        other.mkdir()
        with Dev(other, port=None) as second:
            assert first.told["address"] != second.told["address"]
            assert second.call("weather", {"city": "Rome"}, wait=30)["state"] == "succeeded"


def test_without_its_upstream_it_offers_no_sample_and_says_a_line_that_works(tmp_path: Path):
    with dev(tmp_path, "--no-upstream", "--port", str(free_port())) as process:
        process.wait_for_line("^curl ")
        status, body = paste(first_call(process.output()))
        assert (status, json.loads(body)) == (200, {"items": [], "next_cursor": None})


def test_only_its_own_upstream_is_open_to_tools(running: Dev):
    with socket.create_server(("127.0.0.1", 0)) as private:
        port = private.getsockname()[1]
        spec = {"name": "a", "description": "a", "parameters": {"type": "object"}}
        binding = {"type": "http", "method": "GET", "url": f"http://127.0.0.1:{port}/"}
        refused = running.client.post("/v1/tools", json={**spec, "binding": binding})
        assert (refused.status_code, refused.json()["errors"][0]["path"]) == (422, "binding.url")
        running.create_tool("by_name", {**binding, "url": f"http://localhost:{port}/"})
        assert running.call("by_name", wait=30)["error"]["code"] == "egress_denied"


def test_a_given_key_is_used_and_kept_nowhere(tmp_path: Path):
    key = "a-key-that-i-have-chosen"
    with Dev(tmp_path, env={"TOOLYARD_API_KEY": key}) as dev:
        assert dev.told["api_key"] == key
        assert dev.call("weather", {"city": "Bern"}, wait=30)["state"] == "succeeded"
    assert not (tmp_path / ".toolyard" / "key").exists()
    assert key.encode() not in (tmp_path / ".toolyard" / "toolyard.db").read_bytes()


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("TOOLYARD_PRT", "1", "did you mean TOOLYARD_PORT"),
        ("TOOLYARD_TRANSPORT_URL", "amqp://localhost/", "toolyard dev runs without a broker"),
        ("TOOLYARD_API_KEY", "short", "TOOLYARD_API_KEY"),
    ],
)
def test_a_wrong_setting_stops_the_start_and_is_named(tmp_path: Path, name: str, value: str, told: str):
    with dev(tmp_path, **{name: value}) as process:
        assert process.wait() == 1
        assert told in process.output()
        assert "Traceback" not in process.output()


def test_a_second_signal_ends_it_at_once(tmp_path: Path):
    with Dev(tmp_path) as dev:
        dev.call("slow_report", {"seconds": 60})
        dev.process.send(signal.SIGTERM)
        dev.process.wait_for_line("once more")
        dev.process.send(signal.SIGTERM)
        assert dev.process.wait() != 0


def test_help_says_what_it_does(tmp_path: Path):
    with dev(tmp_path, "--help") as process:
        assert process.wait() == 0
        for word in ("--host", "--port", "--no-upstream"):
            assert word in process.output()
