"""Commands and environments of LaTeX: sections, lists, tables or layout, and the arguments they take."""

from __future__ import annotations

import re

SECTIONS = ("part", "chapter", "section", "subsection", "subsubsection", "paragraph", "subparagraph", "frametitle")
LISTS = {"itemize", "enumerate", "description", "compactitem", "compactenum", "inparaenum", "tasks"}
TABLES = {"tabular", "tabular*", "tabularx", "tabulary", "longtable", "longtabu", "tabu", "supertabular", "tblr"}
DRAWINGS = {"tikzpicture", "pgfpicture", "picture", "pspicture", "axis", "forest", "filecontents", "filecontents*"}
FORMULAS = {"equation", "align", "gather", "multline", "eqnarray", "displaymath", "math", "flalign", "alignat", "split"}
DROPPED = set(
    re.findall(
        r"\S+",
        r"""label index includegraphics bibliographystyle bibliography pagestyle thispagestyle vspace hspace vskip hskip
        setlength addtolength setcounter addtocounter newcommand renewcommand providecommand newenvironment def let
        usepackage documentclass newtheorem theoremstyle DeclareMathOperator hypersetup graphicspath geometry color
        definecolor pagenumbering addcontentsline phantomsection hline cline toprule midrule bottomrule cmidrule
        usetheme usecolortheme setbeamertemplate bibitem nocite selectlanguage fontsize renewenvironment
        addbibresource newlength newcounter rowcolor cellcolor columncolor arraystretch hyphenation title author date
        institute subtitle lstset pgfplotsset tikzset usetikzlibrary rule raisebox vphantom hphantom phantom
        lstinputlisting input include subfile import pdfbookmark addtocontents specialrule lipsum blindtext
        addlinespace""",
    )
)
_LOGOS = re.findall(
    r"\S+",
    "TeX LaTeX BibTeX XeTeX XeLaTeX LuaTeX LuaLaTeX pdfTeX pdfLaTeX ConTeXt MiKTeX AmSTeX AmSLaTeX TikZ",
)
WORDS = {name: name for name in _LOGOS} | {  # that every document knows, and its converter to text does not
    "LaTeXe": "LaTeX2e", "AmS": "AMS", "S": "§", "P": "¶", "copyright": "©", "textcopyright": "©", "pounds": "£",
    "dag": "†", "ddag": "‡", "og": "« ", "fg": " »", "texttrademark": "™", "textregistered": "®", "euro": "€",
}  # fmt: skip
NAMES_FILE = {"input", "include", "subfile", "lstinputlisting"}
REFERENCES = {"ref", "eqref", "pageref", "autoref", "cref", "Cref", "nameref", "vref", "cite", "citep", "citet",
              "citeauthor", "citeyear", "parencite", "textcite", "autocite", "footcite", "citealp"}  # fmt: skip
RULES = {"hline", "midrule", "toprule", "bottomrule", "cline", "cmidrule", "endhead", "endfirsthead"}
BREAKS = {"\\", "newline", "linebreak", "tabularnewline", "cr"}
PARAGRAPHS = {"par", "newpage", "clearpage", "bigskip", "medskip", "smallskip", "maketitle", "pagebreak"}
ARGUMENTS = {  # as pylatexenc writes them: a star, [optional] and {required} ones
    "href": "{{", "caption": "*[{", "multicolumn": "{{{", "multirow": "{[{[{", "frametitle": "[{", "bibitem":
    "[{", "pdfbookmark": "[{{", "addtocontents": "{{", "hypertarget":
    "{{", "hyperlink": "{{",
    "textcolor": "[{{", "colorbox": "{{", "item": "[", "parbox": "[[[{{", "setlength": "{{", "setcounter":
    "{{", "vspace": "*{", "hspace": "*{", "includegraphics": "*[[{", "cmidrule": "[{", "cline": "{",
    "definecolor": "{{{", "hypersetup": "{", "todo": "[{", "thumbtunecode": "{", "thumbtuneverb": "{",
    "paragraph": "*[{", "subparagraph": "*[{", "selectlanguage": "{", "fontsize": "{{", "rule": "[{{",
    "footnotetext": "[{", "bibliography": "{", "bibliographystyle": "{", "index": "{", "label": "{", "pagestyle":
    "{", "thispagestyle": "{", "title": "[{", "author": "[{", "date": "{", "institute": "[{", "input": "{",
    "include": "{", "rowcolor": "[{", "cellcolor": "[{", "addcontentsline": "{{{", "setbeamertemplate": "{[{",
    "hyperref": "[{", "nocite": "{", "graphicspath": "{", "newtheorem": "*{[{[", "lstset": "{", "resizebox":
    "*{{{", "scalebox": "{[{", "raisebox": "{[[{", "adjustbox": "{{", "frame": "[{", "cite": "*[[{", "citep":
    "*[[{", "citet": "*[[{", "parencite": "[[{", "textcite": "[[{", "lstinputlisting": "[{", "pagenumbering": "{",
    "theoremstyle": "{", "texorpdfstring": "{{", "thanks": "{", "specialrule": "{{{", "lipsum": "[", "blindtext":
    "[", "addlinespace": "[",
}  # fmt: skip
