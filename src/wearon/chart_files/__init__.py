"""Charts as shops have them: CSV and schema.org's JSON-LD become the `size_chart` of a request, and a picture.

`check_chart` reads a file, and names what is wrong by row and column; `draw_chart` draws what it found. Files are
hostile until read: bounded, never executed, and nothing that they name is fetched. Imports sizing for what a chart is.
"""

from wearon.chart_files.cells import in_words
from wearon.chart_files.check import Checked, check_chart
from wearon.chart_files.picture import draw_chart
from wearon.chart_files.problems import Place, Problem, UnusableFile
from wearon.chart_files.sheet import Line, Told, columns_of

__all__ = [
    "Checked",
    "Line",
    "Place",
    "Problem",
    "Told",
    "UnusableFile",
    "check_chart",
    "columns_of",
    "draw_chart",
    "in_words",
]
