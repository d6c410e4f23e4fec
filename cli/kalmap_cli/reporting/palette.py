"""The colours of charts, in a page and in a file of its own."""

from typing import NamedTuple


class Palette(NamedTuple):
    """The colours of charts. No two that stand side by side differ in hue alone."""

    ink: str
    muted: str
    grid: str
    paper: str
    main: str
    band: str
    wrong: str
    series: tuple[str, ...]


#: Of a file of its own. Blue, orange and vermilion are those of Okabe and Ito, "Color Universal
#: Design" (2008), made darker until they have the contrast of WCAG 2.2.
LIGHT = Palette(
    ink="#1f2328",
    muted="#59636e",
    grid="#e4e8ec",
    paper="#ffffff",
    main="#0063a8",
    band="#bcd9f2",
    wrong="#b93a00",
    series=("#0063a8", "#b93a00", "#00795a", "#8a5a00", "#8d3c73", "#59636e"),
)
#: In a page: its style sheet says which, for light and for dark.
OF_PAGE = Palette(
    ink="var(--ink)",
    muted="var(--muted)",
    grid="var(--grid)",
    paper="var(--paper)",
    main="var(--main)",
    band="var(--band)",
    wrong="var(--wrong)",
    series=tuple(f"var(--series-{n})" for n in range(len(LIGHT.series))),
)
