"""The bank: what is kept comes back bit for bit, and nothing about the cache is ever fatal."""

from __future__ import annotations

import itertools
import os
import struct
import threading
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import pytest

from conformance.case import Case
from conformance.judging import Prepared
from conformance.running import cache
from conformance.spec import load

TEXTS = (
    "conv2d:float32:x=2,3,5,7:w=4,3,3,2:bias:stride=2,1:padding=1/0,0/0:integers@17",
    "conv1d:float64:x=1,2,9:w=2,2,3:wide@1",  # with a residual
    "conv1d:float16:x=1,2,9:w=2,2,3:normal@1",
    "conv1d:int64:x=1,2,9:w=2,2,3:integers@1",
    "conv1d:float32:x=0,2,9:w=2,2,3:normal@1",  # an empty batch
    "conv1d:float32:x=2,2,9:w=2,2,3:nan@1",
    "conv1d:float32:x=2,2,9:w=2,2,3:padding=1/1:inf@4",
    "max_pool1d:float32:x=2,2,9:kernel=3:zeros@1",
    "max_pool1d:int8:x=2,2,9:kernel=3:integers@1",
    "avg_pool2d:float32:x=1,2,5,5:kernel=2,2:padding=1/1,0/1:exclude_pad:subnormal@1",
    "conv_transpose1d:float64:x=1,2,4:w=2,3,3:stride=2:output_padding=1:huge@1",
    "conv_input_grad1d:float32:x=1,2,9:w=2,2,3:normal@1",  # with a shape among the inputs
    "conv1d:float32:x=1,2,9:w=2,2,3:memory=reversed-w:integers@1",
    "conv1d:float32:x=2,4,9:w=6,4,3:bias:invalid=stride-zero:integers@0",
)


@pytest.fixture
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of cached banks, which is the test's own and not there yet."""
    folder = tmp_path / "cache" / "banks"
    monkeypatch.setattr(cache, "cache_folder", lambda: folder)
    return folder


def of(*texts: str) -> list[Case]:
    return [Case.parse(text) for text in texts]


def contents(prepared: Prepared) -> list[Any]:
    """Return all that a prepared case is made of, arrays as dtype, shape and bytes."""
    reference = prepared.reference
    values = (
        *prepared.inputs,
        *(reference.exact, reference.residual, reference.magnitude),
        *(reference.terms, reference.error, reference.single_valued),
    )
    return [prepared.case] + [
        (value.dtype, value.shape, value.tobytes()) if isinstance(value, np.ndarray) else value
        for value in values
    ]


def stored(cases: Sequence[Case], name: str = "name") -> list[Prepared]:
    return cache.prepare(lambda: cases, name, cached=True)


def never() -> Sequence[Case]:
    raise AssertionError("the bank is made again")


# --- what is kept ---------------------------------------------------------------------------------


@pytest.mark.parametrize("text", TEXTS)
def test_a_case_comes_back_bit_for_bit(text: str, cache_folder: Path) -> None:
    made = stored(of(text))

    (back,) = cache.prepare(never, "name", cached=True)

    assert contents(made[0]) == contents(back)


def test_bfloat16_comes_back_bit_for_bit(cache_folder: Path) -> None:
    pytest.importorskip("ml_dtypes")
    made = stored(of("conv1d:bfloat16:x=1,2,9:w=2,2,3:bias:normal@1"))

    (back,) = cache.prepare(never, "name", cached=True)

    assert contents(made[0]) == contents(back)


def test_cases_come_back_in_their_order(cache_folder: Path) -> None:
    stored(of(*TEXTS))

    back = cache.prepare(never, "name", cached=True)

    assert list(TEXTS) == [prepared.case.id for prepared in back]


def test_an_empty_bank_comes_back_empty(cache_folder: Path) -> None:
    stored([])

    assert [] == cache.prepare(never, "name", cached=True)


@pytest.mark.parametrize("text", TEXTS)
def test_what_comes_back_cannot_be_changed(text: str, cache_folder: Path) -> None:
    stored(of(text))
    (back,) = cache.prepare(never, "name", cached=True)
    before = contents(back)

    reference = back.reference
    for array in (*back.inputs, reference.exact, reference.magnitude):
        if isinstance(array, np.ndarray) and array.flags.writeable:
            array[...] = 1

    assert before == contents(back)
    assert before == contents(cache.prepare(never, "name", cached=True)[0])


def test_without_a_cache_nothing_is_written(cache_folder: Path) -> None:
    cache.prepare(lambda: of(TEXTS[0]), "name", cached=False)

    assert not cache_folder.exists()


def test_the_folder_is_in_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda name: str(tmp_path / name))

    assert tmp_path / "convformance" / "banks" == cache.cache_folder()


# --- damage ---------------------------------------------------------------------------------------


def is_remade(path: Path) -> bool:
    """Whether the bank at ``path`` is made anew, and is whole afterwards."""
    asked = []
    cases = of(*TEXTS[:4])

    def make() -> Sequence[Case]:
        asked.append(True)
        return cases

    cache.prepare(make, path.stem, cached=True)
    back = cache.prepare(never, path.stem, cached=True)
    assert [case.id for case in cases] == [prepared.case.id for prepared in back]
    return bool(asked)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_remade(share: float, cache_folder: Path) -> None:
    stored(of(*TEXTS[:4]))
    path = cache_folder / "name.bank"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])

    assert is_remade(path)


def test_no_flipped_bit_goes_unnoticed(cache_folder: Path) -> None:
    expected = [contents(prepared) for prepared in stored(of(*TEXTS[:2]))]
    path = cache_folder / "name.bank"
    whole = path.read_bytes()
    # The header and the end byte by byte, the middle in large steps.
    ends = (*range(260), *range(len(whole) - 200, len(whole)))
    for place in (*ends, *range(260, len(whole) - 200, 61)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        found = cache._load(path)

        assert found is None or expected == [contents(prepared) for prepared in found]


def write_array(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, header=np.arange(3))


def write_bank(path: Path, header: bytes) -> None:
    """Write a file whose checksum is right, and whose header is another one."""
    rest = struct.pack("<Q", len(header)) + header
    path.write_bytes(struct.pack("<Q", zlib.crc32(rest)) + rest)


FOREIGN: dict[str, Callable[[Path], object]] = {
    "text": lambda path: path.write_text("hello"),
    "nothing": lambda path: path.write_bytes(b""),
    "an array": write_array,
    "no JSON": lambda path: write_bank(path, b"\xff{"),
    "other JSON": lambda path: write_bank(path, b"[1, 2]"),
    "no case": lambda path: write_bank(path, b'[{"case": "?"}]'),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_file_is_remade(kind: str, cache_folder: Path) -> None:
    cache_folder.mkdir(parents=True)
    path = cache_folder / "name.bank"
    FOREIGN[kind](path)

    assert is_remade(path)


def test_a_folder_in_the_files_place_costs_time_only(cache_folder: Path) -> None:
    (cache_folder / "name.bank").mkdir(parents=True)

    assert 1 == len(stored(of(TEXTS[0])))


def test_a_cache_folder_that_cannot_be_made_costs_time_only(cache_folder: Path) -> None:
    cache_folder.parent.write_text("a file where the folder should be")

    assert 1 == len(stored(of(TEXTS[0])))


def test_a_full_disk_costs_time_only(cache_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int, mode: str) -> None:
        os.close(handle)
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fdopen", full)

    assert 1 == len(stored(of(TEXTS[0])))
    assert [] == list(cache_folder.iterdir())


# --- together -------------------------------------------------------------------------------------


def test_writers_at_the_same_time_leave_a_whole_file(cache_folder: Path) -> None:
    made = cache.prepare(lambda: of(*TEXTS[:4]), "name", cached=False)
    path = cache_folder / "name.bank"
    threads = [threading.Thread(target=cache._store, args=(path, made)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    back = cache.prepare(never, "name", cached=True)

    assert [contents(prepared) for prepared in made] == [contents(prepared) for prepared in back]
    assert [path] == list(cache_folder.iterdir())


def test_the_folder_stays_below_its_limit(
    cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(of(TEXTS[0]), "bank0")
    size = (cache_folder / "bank0.bank").stat().st_size
    monkeypatch.setattr(cache, "CACHE_BYTES", 3 * size + size // 2)
    for number in range(1, 6):
        stored(of(TEXTS[0]), f"bank{number}")

    assert 3 * size == sum(file.stat().st_size for file in cache_folder.iterdir())


def test_the_bank_unused_for_longest_goes_first(
    cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for age, name in enumerate(("new", "old", "oldest"), start=1):
        stored(of(TEXTS[0]), name)
        os.utime(cache_folder / f"{name}.bank", (age_ := 1e9 - age, age_))
    stored(of(TEXTS[0]), "oldest")  # is used again
    size = (cache_folder / "new.bank").stat().st_size
    monkeypatch.setattr(cache, "CACHE_BYTES", 3 * size)
    stored(of(TEXTS[0]), "newest")

    assert {"newest.bank", "oldest.bank", "new.bank"} == {f.name for f in cache_folder.iterdir()}


# --- keys -----------------------------------------------------------------------------------------

FACTS: dict[str, Any] = {
    "spec": "digest",
    "operator": "conv",
    "dims": 2,
    "dtypes": (("float32",), ()),
    "checks": ("result",),
    "suites": ("edge",),
    "examples": 10,
    "seed": 0,
}


def test_the_same_facts_have_the_same_key() -> None:
    assert cache.key(**FACTS) == cache.key(**FACTS)


@pytest.mark.parametrize(
    ("fact", "other"),
    [
        ("spec", "another"),
        ("operator", "max_pool"),
        ("dims", 1),
        ("dtypes", (("float64",), ())),
        ("dtypes", ((), ("float32",))),
        ("checks", ("result", "layout")),
        ("suites", ()),
        ("examples", 11),
        ("seed", 1),
    ],
)
def test_each_fact_has_a_part_in_the_key(fact: str, other: object) -> None:
    assert cache.key(**FACTS) != cache.key(**FACTS | {fact: other})


def test_an_edited_source_has_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = cache.key(**FACTS)
    monkeypatch.setattr(cache, "_sources", lambda: "edited")

    assert before != cache.key(**FACTS)


def test_a_spec_file_with_other_cases_has_another_key(tmp_path: Path) -> None:
    digests = set()
    for width, kernel in itertools.product((5, 6), (2, 3)):
        file = tmp_path / "spec.toml"
        file.write_text(
            f'[[case]]\nname = "a"\noperator = "max_pool"\nx = [1, 1, {width}]\nkernel = [{kernel}]'
        )
        digests.add(load(file).digest)

    assert 4 == len(digests)


def test_a_list_of_cases_is_made_once_and_kept() -> None:
    cases = of(*TEXTS)
    cache.cached_cases(lambda: cases, "kept", cached=True)

    assert cases == cache.cached_cases(never, "kept", cached=True)


def test_a_list_that_cannot_be_read_is_made_again() -> None:
    cache.cache_folder().mkdir(parents=True, exist_ok=True)
    (cache.cache_folder() / "damaged.json").write_text("[")

    assert of(TEXTS[0]) == cache.cached_cases(lambda: of(TEXTS[0]), "damaged", cached=True)


def test_a_list_that_is_not_to_be_kept_is_made_each_time() -> None:
    cache.cached_cases(lambda: of(TEXTS[0]), "fresh", cached=False)

    assert of(TEXTS[1]) == cache.cached_cases(lambda: of(TEXTS[1]), "fresh", cached=False)
