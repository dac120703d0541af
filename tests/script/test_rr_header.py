# SPDX-License-Identifier: BSD-3-Clause
"""include/matte/rr.h alone, as others' programs include it: C99 and C++11, all warnings."""

import pathlib
import shutil
import subprocess

import pytest

INCLUDE = pathlib.Path(__file__).resolve().parents[2] / "include"
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Wcast-qual",
            "-Wunused", "-Werror"]
PROGRAM = """
#include <matte/rr.h>

int main(void)
{
    static const uint8_t nonce[MATTE_RR_NONCE_BYTES] = {1, 2, 3, 4, 5, 6, 7, 8};
    static uint8_t room[MATTE_RR_ROOM_BYTES];
    uint8_t out[MATTE_RR_FRAME_BYTES + 4];
    struct matte_rr rr;
    struct matte_rr_answer answer;
    matte_rr_init(&rr, nonce);
    matte_rr_answer_init(&answer, 1, room, sizeof(room));
    if (matte_rr_ready(&rr, 0) || matte_rr_wrap(&rr, 1, "mn\\r\\n", 4, out) != 0 ||
        matte_rr_hello(&rr, 1, out) != MATTE_RR_FRAME_BYTES)
        return 1;
    out[7] = 2; /* HELLO's bytes make a CHALLENGE */
    if (matte_rr_take(&rr, &answer, out, MATTE_RR_FRAME_BYTES, 0) != MATTE_RR_AGAIN)
        return 2;
    return matte_rr_wrap(&rr, 1, "mn\\r\\n", 4, out) == sizeof(out) ? 0 : 3;
}
"""


@pytest.mark.parametrize("compiler, language, standard", [
    ("gcc", "c", "c99"), ("gcc", "c", "c17"), ("clang", "c", "c99"),
    ("g++", "c++", "c++11"), ("g++", "c++", "c++20"), ("clang++", "c++", "c++11"),
])
def test_compiles_alone(compiler, language, standard, tmp_path):
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}")
    program = tmp_path / "program"
    subprocess.run([compiler, "-x", language, f"-std={standard}", *WARNINGS, f"-I{INCLUDE}", "-",
                    "-o", program], input=PROGRAM, text=True, check=True)
    assert subprocess.run([program], check=False).returncode == 0


@pytest.mark.parametrize("standard", ["c99", "c17"])
def test_unused_is_no_warning(standard, tmp_path):
    subprocess.run(["gcc", "-x", "c", f"-std={standard}", *WARNINGS, f"-I{INCLUDE}", "-c", "-",
                    "-o", tmp_path / "object"],
                   input="#include <matte/rr.h>\n#include <matte/rr.h>\n", text=True, check=True)
