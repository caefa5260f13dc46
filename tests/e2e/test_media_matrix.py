"""Whole corpus x {video 320 wide, cover 200x200, frame at 50 %, 9-tile sheet, audio}: facts, pixels and sound against ffmpeg's own
conversion, or the right error code. What differs from the default thresholds is argued in kit/matrix.py, cell by cell.
tools/media_table writes the same cells into docs/media-support.md."""
import concurrent.futures

import pytest

from kit import matrix, media, serving

CELLS = [(name, operation) for name in matrix.names() for operation in matrix.OPERATIONS]


@pytest.fixture(scope="module")
def outcomes(request, tmp_path_factory):
    """{cell: its Outcome as a future}: the selected cells run two at a time while the tests wait for theirs."""
    folder = tmp_path_factory.mktemp("matrix")

    def configure(server):
        server.config["origins"][0]["sources"][0]["root"] = str(media.corpus())
    with serving.serving(folder, configure) as server:
        judge = matrix.Judge(server, folder)
        wanted = [i.callspec.params["cell"] for i in request.session.items
                  if getattr(i, "callspec", None) and "cell" in i.callspec.params and i.path == request.path]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            futures = {cell: pool.submit(judge.run, *cell) for cell in wanted}
            yield futures
            for future in futures.values():
                future.cancel()


@pytest.mark.skipif(not CELLS, reason=f"no corpus at {media.CORPUS}")
@pytest.mark.parametrize("cell", CELLS or [("none", "none")], ids=lambda c: f"{c[0]}-{c[1]}")
def test_cell(outcomes, cell):
    outcome = outcomes[cell].result()
    if outcome.not_yet:
        if serving.ALL_MODES:
            pytest.fail(f"not made: {outcome.not_yet}")
        pytest.skip(f"not made yet: {outcome.not_yet}")
    if outcome.complaints and cell in matrix.KNOWN:
        pytest.xfail(matrix.KNOWN[cell] + ": " + outcome.complaints[0])
    assert not outcome.complaints, f"{outcome.target}: " + "\n".join(outcome.complaints)
