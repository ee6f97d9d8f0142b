"""`chat`: line by line from a script, and in a terminal."""

import json
import os
import pty
import select
import signal
import subprocess
import time

import pytest
from conftest import MODELS
from program import PROGRAM, environment

USAGE, INPUT = 2, 3
LLAMA3 = ["--chat-template", "llama3"]
SHORT = [*LLAMA3, "--max-new-tokens", "6"]


def lines_of(d2c, package, *flags, stdin):
    return [json.loads(line) for line in d2c.ok("chat", package, *flags, "--json", stdin=stdin).stdout.splitlines()]


def test_each_line_is_answered_in_turn(d2c, talker):
    replies = lines_of(d2c, talker, *SHORT, stdin="Hello\nAnd again\n")
    assert len(replies) == 2 and {r["finish"] for r in replies} <= {"length", "stop"}
    assert replies[0]["reused_tokens"] == 0
    assert replies[1]["prompt_tokens"] > replies[1]["reused_tokens"] >= replies[0]["prompt_tokens"]


def test_the_cached_prefix_changes_nothing(d2c, talker):
    """Asked in one go after another, or afresh with the same history, the answer is the same."""
    once = lines_of(d2c, talker, *SHORT, stdin="Hello\n")
    again = lines_of(d2c, talker, *SHORT, stdin="Something else\n/reset\nHello\n")
    assert again[1]["tokens"] == once[0]["tokens"]


def test_people_read_the_replies(d2c, talker):
    reply = lines_of(d2c, talker, *SHORT, stdin="Hello\n")[0]["reply"]
    assert d2c.ok("chat", talker, *SHORT, stdin="Hello\n").stdout == reply + "\n"


def test_once_takes_all_of_stdin_for_one_message(d2c, talker):
    replies = lines_of(d2c, talker, *SHORT, "--once", stdin="Two\nlines\n")
    assert len(replies) == 1
    assert "stdin" in d2c.refused(INPUT, "chat", talker, *SHORT, "--once", stdin="\n")


def test_a_system_prompt_is_part_of_the_prompt(d2c, talker):
    plain = lines_of(d2c, talker, *SHORT, stdin="Hello\n")[0]["prompt_tokens"]
    assert lines_of(d2c, talker, *SHORT, "--system", "Be brief.", stdin="Hello\n")[0]["prompt_tokens"] > plain


def test_exit_ends_before_the_rest(d2c, talker):
    assert len(lines_of(d2c, talker, *SHORT, stdin="Hello\n/exit\nHello\n")) == 1


def test_a_full_context_is_refused_or_shifted(d2c, talker):
    many = "Tell me more about it\n" * 12
    done = d2c.run("chat", talker, *SHORT, stdin=many)
    assert done.returncode == INPUT and "--overflow shift" in done.stderr
    replies = lines_of(d2c, talker, *SHORT, "--overflow", "shift", stdin=many)
    assert len(replies) == 12 and sum(r["evicted_tokens"] for r in replies) > 0


def test_a_message_longer_than_the_context_is_refused_either_way(d2c, talker):
    for flags in ([], ["--overflow", "shift"]):
        assert "context" in d2c.refused(INPUT, "chat", talker, *SHORT, *flags, stdin="long " * 400)


def test_a_template_must_be_known(d2c, talker):
    assert "llama3" in d2c.refused(USAGE, "chat", talker, "--chat-template", "nothing", stdin="Hello\n")
    assert "--chat-template" in d2c.refused(INPUT, "chat", talker, stdin="Hello\n")


def test_a_package_without_tokenizer_says_what_to_do(d2c, convert):
    assert "tokenizer" in d2c.refused(INPUT, "chat", convert(MODELS / "gqa_bf16").path, stdin="Hello\n")


class Terminal:
    """The program with a person at the other end."""

    def __init__(self, folder, *arguments):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [PROGRAM, *map(str, arguments)], cwd=folder, env={**environment(folder), "TERM": "xterm"}, stdin=slave,
            stdout=slave, stderr=slave, start_new_session=True, preexec_fn=take_terminal)
        os.close(slave)
        self.seen = ""

    def type(self, text):
        time.sleep(0.3)  # a person sees the prompt before typing; the editor sets the terminal up meanwhile
        os.write(self.master, text.encode())

    def wait_for(self, text, seconds=60):
        """What the program wrote up to and with `text`."""
        end = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < end, f"no {text!r} in {self.seen!r}"
            if select.select([self.master], [], [], 0.1)[0]:
                self.seen += os.read(self.master, 4096).decode(errors="replace")
        before, _, self.seen = self.seen.partition(text)
        return before + text

    def exit_code(self):
        try:
            while os.read(self.master, 4096):
                pass
        except OSError:
            pass  # the other end is closed
        return self.process.wait(timeout=60)


def take_terminal():
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.fixture
def terminal(tmp_path, talker):
    terminals = []

    def start(*flags):
        terminals.append(Terminal(tmp_path, "chat", talker, *LLAMA3, *flags))
        return terminals[-1]

    yield start
    for t in terminals:
        t.process.kill()
        t.process.wait()
        os.close(t.master)


def test_a_terminal_shows_a_prompt_and_leaves_on_request(terminal):
    t = terminal("--max-new-tokens", 4)
    t.wait_for("> ")
    t.type("Hello\r")
    t.wait_for("Hello")
    t.wait_for("> ")
    t.type("/exit\r")
    assert t.exit_code() == 0


def test_the_end_of_input_leaves_too(terminal):
    t = terminal()
    t.wait_for("> ")
    t.type("\x04")
    assert t.exit_code() == 0


def test_ctrl_c_at_the_prompt_drops_the_line(terminal):
    t = terminal("--max-new-tokens", 4)
    t.wait_for("> ")
    t.type("half a li")
    t.wait_for("half a li")
    t.type("\x03")
    t.wait_for("> ")
    t.type("/exit\r")
    assert t.exit_code() == 0


def test_ctrl_c_stops_the_reply_and_not_the_program(terminal):
    t = terminal("--overflow", "shift", "--max-new-tokens", 1000000)
    t.wait_for("> ")
    t.type("Hello\r")
    t.wait_for("Hello\r\n")
    time.sleep(0.5)
    t.type("\x03")
    t.wait_for("> ")
    t.type("/exit\r")
    assert t.exit_code() == 0


def test_termination_ends_it_all(terminal):
    t = terminal("--overflow", "shift", "--max-new-tokens", 1000000)
    t.wait_for("> ")
    t.type("Hello\r")
    t.wait_for("Hello\r\n")
    t.process.send_signal(signal.SIGTERM)
    assert t.exit_code() == 143
