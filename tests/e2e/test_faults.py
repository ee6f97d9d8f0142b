"""Every file operation of a conversion, a merge and a download fails once: the run ends in one sentence with the
documented exit code, or overcomes it; the output is as it was; the same command then makes the same bytes.

D2C_FAULTS_EVERYWHERE=1 hits every single operation (`./dev test --all`), D2C_WRITE_RELIABILITY=1 renews the table of
docs/reliability.md.
"""

import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import MODELS, ROOT, SMALL, tree
from faults import EVERYTHING, LIBRARY, Command, Machine, Operation, one_sentence, places, side_by_side
from hub_server import HubServer

pytestmark = pytest.mark.skipif(not LIBRARY, reason="failing file operations need the shim, which is for Linux")

INPUT, RESOURCE = 3, 5
DATA = ROOT / "tests/data/lora_unsloth"
CAUSES = {"ENOSPC": ("No space left on device", "disk space"), "EDQUOT": ("Disk quota exceeded", "disk space"),
          "EIO": ("Input/output error",)}  # fmt: skip
PRECIOUS = "out/mine.txt"  # stands where the output will be


def prepare_convert(folder):
    shutil.copytree(MODELS / "gqa_bf16", folder / "model")
    (folder / "out").mkdir()
    (folder / "out/mine.txt").write_text("precious")


def prepare_merge(folder):
    shutil.copytree(DATA / "models/base_bf16", folder / "model")
    shutil.copytree(DATA / "adapters/plain_r8_attn", folder / "lora")


ONE_THREAD = ("--threads", "1", "-q")  # so that operations come in the same order every time
BLOBS = ".cache/huggingface/hub/models--org--model"
COMMANDS = [
    Command("convert", ("convert", "--model", "model", *SMALL, *ONE_THREAD, "-o", "out", "--force"), prepare_convert),
    Command("merge", ("merge", "--model", "model", "--adapter", "lora", *ONE_THREAD, "-o", "out"), prepare_merge),
    Command("download", ("plan", "--model", "org/model", *SMALL, "-q"), lambda folder: None, BLOBS, ".cache"),
]


@pytest.fixture(scope="module")
def hub():
    with HubServer() as server:
        server.add_folder("org/model", MODELS / "gqa_bf16")
        yield server


@dataclass
class Subject:
    """A command, what its undisturbed run does, and what it makes."""

    command: Command
    variables: dict
    operations: list
    expected: dict

    def machine(self, folder):
        return Machine(folder, self.command, **self.variables)


@pytest.fixture(scope="module", params=COMMANDS, ids=lambda command: command.name)
def subject(request, tmp_path_factory, hub):
    variables = {"HF_ENDPOINT": hub.endpoint, "no_proxy": "*"}
    machine = Machine(tmp_path_factory.mktemp("undisturbed") / "run", request.param, **variables)
    operations = machine.operations()
    return Subject(request.param, variables, operations, machine.output())


class Sweep:
    """One kind of fault at many places, each in a folder of its own."""

    def __init__(self, subject, folder, table):
        self.subject, self.folder, self.table = subject, folder, table

    def over(self, kind, faults, check, calls=None):
        """Hits the places of `kind`, the faults taking turns; check(Hit) -> (where, outcome)."""
        hits = []
        for index, operation in enumerate(places(self.subject.operations, kind)):
            if calls is None or operation.call in calls:
                hits += [(operation, f) for f in (faults if EVERYTHING else [faults[index % len(faults)]])]

        def try_out(planned):
            number, fault = planned[0].number, planned[1]
            machine = self.subject.machine(self.folder / f"{kind}{number}{fault}")
            done, operation = machine.failing(kind, number, fault)
            hit = Hit(machine, operation, fault.rstrip("+"), done, self.subject.expected)
            try:
                if operation is None or (calls is not None and operation.call not in calls):
                    return None
                where, outcome = check(hit)
                return where, hit.fault, outcome
            except AssertionError as wrong:
                return f"{fault} of {operation}: exit code {done.returncode}: {done.stderr}{wrong}"
            finally:
                shutil.rmtree(machine.folder)

        outcomes = side_by_side(try_out, hits)
        wrong = [o for o in outcomes if isinstance(o, str)]
        assert not wrong, "\n\n".join(wrong)
        for row in filter(None, outcomes):
            self.table.add(self.subject.command.name, *row)


@dataclass
class Hit:
    """A run in which one operation failed, and what is to be said of it."""

    machine: Machine
    operation: Operation
    fault: str
    done: object
    expected: dict

    @property
    def path(self):
        return self.machine.folder / self.operation.path

    def unfinished(self):
        return (self.machine.folder / self.machine.command.unfinished).exists()

    def is_finished(self):
        """The output is the expected one, and nothing else is new."""
        command = self.machine.command
        assert self.machine.output() == self.expected
        assert command.unfinished != ".out.d2c" or not self.unfinished()
        known = {Path(name).parts[0] for name in (*self.machine.before, command.output)}
        assert {p.name for p in self.machine.folder.iterdir()} <= known

    def says(self, code):
        """One sentence with the cause and with the file, or the folder that holds it."""
        assert self.done.returncode == code
        sentence = one_sentence(self.done)
        assert any(cause in sentence for cause in CAUSES[self.fault]), "no cause"
        path = Path(os.path.realpath(self.path))
        words = [Path(os.path.realpath(self.machine.folder / word.rstrip(":;,"))) for word in sentence.split()]
        assert any(path in (word, *word.parents) or path.parent in (word, word.parent) for word in words), "no file"

    def is_undone_and_continues(self, *, told=True):
        """The output is as it was, and the next run makes what it should. Not `told`: a crash knows of no folder."""
        command, folder = self.machine.command, self.machine.folder
        if told and command.unfinished == ".out.d2c":
            assert (".out.d2c: the same command continues" in self.done.stderr) == self.unfinished()
        rest = {name: data for name, data in tree(folder).items() if not name.startswith(command.unfinished + "/")}
        assert rest == self.machine.before
        again = self.machine.run()
        assert again.returncode == 0, again.stderr
        self.is_finished()


@pytest.fixture
def sweep(subject, tmp_path, faults_table):
    return Sweep(subject, tmp_path, faults_table)


UNDONE = "output as it was, the next run makes the same bytes"


def test_a_write_that_fails_leaves_the_output_alone_and_the_next_run_continues(sweep):
    def check(hit):
        if hit.done.returncode == 0 and hit.operation.call == "fallocate" and hit.fault == "EIO":
            hit.is_finished()
            return "fallocate", "overcome, the same bytes"
        if hit.done.returncode == 0:
            assert hit.operation.call == "fsync" and hit.path == hit.machine.folder and "power failure" in hit.done.stderr
            hit.is_finished()
            return "fsync behind the last rename", "output complete, a warning"
        hit.says(RESOURCE)
        hit.is_undone_and_continues()
        return "write, fsync, rename, mkdir", f"exit code 5, {UNDONE}"

    sweep.over("write", ["ENOSPC+", "EIO", "EDQUOT+"], check)


def test_a_read_that_fails_is_told_of(sweep):
    def check(hit):
        path = hit.operation.path
        if hit.done.returncode == 0:
            hit.is_finished()
            if path == ".":
                return "fsync behind the last rename", "output complete, a warning"
            assert path == "model" or path.endswith(("/journal", "/refs/main", "/token")) or hit.path.is_dir(), "it went unnoticed"
            return "probe, journal, branch, token", "overcome, the same bytes"
        own = path.startswith(".out.d2c") or hit.path.is_dir()
        hit.says(RESOURCE if own else INPUT)
        hit.is_undone_and_continues()
        return ("folder to be synced" if own else "input"), f"exit code {5 if own else 3}, {UNDONE}"

    sweep.over("read", ["EIO"], check)


@pytest.mark.parametrize("kind", ["write", "read"])
def test_short_and_interrupted_calls_are_continued(sweep, kind):
    def check(hit):
        assert hit.done.returncode == 0
        hit.is_finished()
        return f"{kind}, cut short or interrupted", "overcome, the same bytes"

    sweep.over(kind, ["SHORT", "EINTR"], check, ["read", "pread", "write", "pwrite", "fallocate"])


def test_a_mapped_input_that_is_lost_is_named(sweep):
    def check(hit):
        assert hit.done.returncode == INPUT and str(hit.path) in one_sentence(hit.done)
        hit.is_undone_and_continues(told=False)
        return "mapped input", f"exit code 3, {UNDONE}"

    sweep.over("map", ["EIO"], check)


def test_a_report_that_cannot_be_written_is_told_of_and_the_output_is_complete(subject, tmp_path, faults_table):
    for flags in ([], ["--json"]):
        machine = subject.machine(tmp_path / ("run" + "".join(flags)))
        with open("/dev/full", "w") as full:
            done = machine.run(*flags, stdout=full)
        assert done.returncode == RESOURCE
        assert "standard output" in one_sentence(done) and "No space left on device" in one_sentence(done)
        Hit(machine, None, "ENOSPC", done, subject.expected).is_finished()
        faults_table.add(subject.command.name, "standard output", "ENOSPC", "exit code 5, output complete")


def last(operations, calls, path):
    """Where in the order the last of these calls on a path stands; -1 where there is none."""
    return max((i for i, o in enumerate(operations) if o.call in calls and o.path == path), default=-1)


BYTES = ("write", "writev", "pwrite", "pwrite64", "ftruncate", "fallocate")


def test_everything_is_durable_before_the_rename_that_publishes_it(subject):
    """What a power failure leaves is decided by the order of fsyncs and renames."""
    writes = [o for o in subject.operations if o.kind == "write"]
    renames = [i for i, o in enumerate(writes) if o.call.startswith("rename")]
    for rename in renames:
        name = writes[rename].path
        if "/snapshots/" in name or "/refs/" in name:
            continue  # links to what is durable already, made again where they are missing
        before = writes[:rename]
        grown = {"blobs": name + ".incomplete", "journal": name + ".new"}
        inside = next((source for mark, source in grown.items() if mark in name), ".out.d2c/package")
        for o in before:
            if o.call in BYTES and (o.path + "/").startswith(inside + "/"):
                assert last(before, ["fsync"], o.path) > last(before, BYTES, o.path), f"{o.path} before {name}"
            if o.call in ("open", "mkdir") and o.path.startswith(inside + "/"):
                folder = o.path.rsplit("/", 1)[0]
                assert last(before, ["fsync"], folder) > last(before, [o.call], o.path), f"the entry of {o.path} before {name}"
        assert last(writes[rename:], ["fsync"], os.path.dirname(name) or ".") > 0, f"the folder of {name} after it"


def test_the_journal_vouches_for_durable_bytes_only(subject):
    if subject.command.unfinished != ".out.d2c":
        pytest.skip("a download has no journal")
    writes = [o for o in subject.operations if o.kind == "write"]
    work_file = next(o.path for o in writes if o.call == "open" and "/package/" in o.path)
    entries = [i for i, o in enumerate(writes) if o.path == ".out.d2c/journal" and o.call == "write"]
    for entry in entries:
        assert last(writes[:entry], ["fsync"], work_file) >= 0
    first_rename = next(i for i, o in enumerate(writes) if o.path == ".out.d2c/journal")
    folder = os.path.dirname(work_file)
    assert 0 <= last(writes[:first_rename], ["fsync"], folder), "the work file's entry is not durable before the journal"


def replace_by_another(file):
    """Other bytes under the same name, size and date: what a copying tool that keeps times does."""
    before = file.stat()
    data = bytearray(file.read_bytes())
    middle = len(data) // 2 & ~1
    data[middle : middle + 2], data[-4:-2] = data[-4:-2], data[middle : middle + 2]
    file.write_bytes(data)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


INPUTS = {"convert": ["model/model.safetensors"], "merge": ["model/model.safetensors", "lora/adapter_model.safetensors"]}


def test_an_input_that_changes_under_a_running_command_is_noticed(subject, tmp_path, faults_table):
    for file in INPUTS.get(subject.command.name, []):
        machine = subject.machine(tmp_path / file.split("/")[0])
        process = machine.stopped_at("write", next(o.number for o in subject.operations if o.call.startswith("pwrite")))
        replace_by_another(machine.folder / file)
        process.send_signal(signal.SIGCONT)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == INPUT and file in stderr and "changed while" in stderr, stderr
        assert not (machine.folder / "out").exists() or machine.output() == {"mine.txt": b"precious"}
        faults_table.add(subject.command.name, "input replaced while it runs", "same size and date", "exit code 3, output as it was")


def test_an_input_that_changed_before_a_resumed_command_is_noticed(subject, tmp_path, faults_table):
    for file in INPUTS.get(subject.command.name, []):
        machine = subject.machine(tmp_path / file.split("/")[0])
        rename = next(o.number for o in subject.operations if o.path == "out" and o.call.startswith("rename"))
        done, failed = machine.failing("write", rename, "EIO")
        assert done.returncode == RESOURCE and failed is not None and " are kept in " in done.stderr, done.stderr
        replace_by_another(machine.folder / file)
        done = machine.run()
        assert done.returncode == 0, done.stderr
        afresh = subject.machine(tmp_path / (file.split("/")[0] + "_afresh"))
        replace_by_another(afresh.folder / file)
        assert afresh.run().returncode == 0
        assert machine.output() == afresh.output() != subject.expected
        faults_table.add(subject.command.name, "input replaced before it is resumed", "same size and date",
                         "what came from it is made again, the bytes are those of the new input")  # fmt: skip


def test_the_document_lists_what_was_tried(faults_table):
    faults_table.is_documented()
