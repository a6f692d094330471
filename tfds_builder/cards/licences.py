"""What a card says of a licence, by the names that other catalogs have for it. Nothing is guessed.

>>> licence_of("CC BY 4.0").spdx
'CC-BY-4.0'
>>> licence_of("for our team only")
Licence(text='for our team only', spdx='', hub='other', url='')
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from tfds_builder.pages.texts import cap, link

_TEXT = 5000
_HUB: Mapping[str, str] = {
    "AFL-3.0": "afl-3.0", "AGPL-3.0": "agpl-3.0", "Apache-2.0": "apache-2.0", "Artistic-2.0": "artistic-2.0",
    "BSD-2-Clause": "bsd-2-clause", "BSD-3-Clause": "bsd-3-clause", "BSD-3-Clause-Clear": "bsd-3-clause-clear",
    "BSL-1.0": "bsl-1.0", "C-UDA-1.0": "c-uda", "CC-BY-1.0": "", "CC-BY-2.0": "cc-by-2.0", "CC-BY-2.5": "cc-by-2.5",
    "CC-BY-3.0": "cc-by-3.0", "CC-BY-4.0": "cc-by-4.0", "CC-BY-NC-2.0": "cc-by-nc-2.0", "CC-BY-NC-2.5": "",
    "CC-BY-NC-3.0": "cc-by-nc-3.0", "CC-BY-NC-4.0": "cc-by-nc-4.0", "CC-BY-NC-ND-2.0": "", "CC-BY-NC-ND-2.5": "",
    "CC-BY-NC-ND-3.0": "cc-by-nc-nd-3.0", "CC-BY-NC-ND-4.0": "cc-by-nc-nd-4.0", "CC-BY-NC-SA-2.0": "cc-by-nc-sa-2.0",
    "CC-BY-NC-SA-2.5": "", "CC-BY-NC-SA-3.0": "cc-by-nc-sa-3.0", "CC-BY-NC-SA-4.0": "cc-by-nc-sa-4.0", "CC-BY-ND-2.0": "",
    "CC-BY-ND-2.5": "", "CC-BY-ND-3.0": "", "CC-BY-ND-4.0": "cc-by-nd-4.0", "CC-BY-SA-2.0": "", "CC-BY-SA-2.5": "",
    "CC-BY-SA-3.0": "cc-by-sa-3.0", "CC-BY-SA-4.0": "cc-by-sa-4.0", "CC0-1.0": "cc0-1.0",
    "CDLA-Permissive-1.0": "cdla-permissive-1.0", "CDLA-Permissive-2.0": "cdla-permissive-2.0",
    "CDLA-Sharing-1.0": "cdla-sharing-1.0", "ECL-2.0": "ecl-2.0", "EPL-1.0": "epl-1.0", "EPL-2.0": "epl-2.0",
    "etalab-2.0": "etalab-2.0", "EUPL-1.1": "eupl-1.1", "EUPL-1.2": "", "GPL-2.0": "gpl-2.0", "GPL-3.0": "gpl-3.0",
    "ISC": "isc", "LGPL-2.1": "lgpl-2.1", "LGPL-3.0": "lgpl-3.0", "LPPL-1.3c": "lppl-1.3c", "MIT": "mit", "MPL-2.0": "mpl-2.0",
    "MS-PL": "ms-pl", "NCSA": "ncsa", "O-UDA-1.0": "", "ODbL-1.0": "odbl", "ODC-By-1.0": "odc-by", "OFL-1.1": "ofl-1.1",
    "OGL-UK-3.0": "", "OSL-3.0": "osl-3.0", "PDDL-1.0": "pddl", "PostgreSQL": "postgresql", "Unlicense": "unlicense",
    "WTFPL": "wtfpl", "Zlib": "zlib",
}  # fmt: skip
"""The Hub's identifier of each licence by that of SPDX; "" where the Hub has none.

https://spdx.org/licenses and https://huggingface.co/docs/hub/repositories-licenses"""
_SPELLINGS: Mapping[str, str] = {
    "cc0": "CC0-1.0", "creativecommonszero": "CC0-1.0", "publicdomaincc0": "CC0-1.0", "creativecommonsattribution40": "CC-BY-4.0",
    "creativecommonsattribution40international": "CC-BY-4.0", "creativecommonsattributionsharealike40": "CC-BY-SA-4.0",
    "creativecommonsattributionnoncommercial40": "CC-BY-NC-4.0", "odcby": "ODC-By-1.0", "odbl": "ODbL-1.0", "pddl": "PDDL-1.0",
    "gnugpl20": "GPL-2.0", "gnugpl30": "GPL-3.0", "gplv2": "GPL-2.0", "gplv3": "GPL-3.0", "gpl2": "GPL-2.0", "gpl3": "GPL-3.0",
    "mozillapublic20": "MPL-2.0",
    "newbsd": "BSD-3-Clause", "simplifiedbsd": "BSD-2-Clause", "boostsoftware10": "BSL-1.0",
}  # fmt: skip
_UNKNOWN = ("unknown", "none", "na", "notspecified", "notstated", "unspecified")


@dataclasses.dataclass(frozen=True)
class Licence:
    """A licence.

    Attributes:
      text: as the card has it; "" if it does not say.
      spdx: SPDX's identifier; "" if it is none of those known here.
      hub: the Hub's identifier: `"unknown"` if the card does not say, `"other"` if it is none of the Hub's.
      url: an address that says what it is; "" if none is known.
    """

    text: str
    spdx: str
    hub: str
    url: str


def licence_of(text: str) -> Licence:
    """The licence that a card's text names, be it by an identifier, a common name or an address.

    Args:
      text: of the card. Only the whole of it is taken for a name: "MIT, but for research only" is not MIT.
    """
    shown = str(cap(text.strip(), _TEXT))
    if not shown or _key(shown[:100]) in _UNKNOWN:
        return Licence(shown, "", "unknown", "")
    spdx = "" if len(shown) > 100 else _of_address(shown) or _KNOWN.get(_key(shown), "")
    url = f"https://spdx.org/licenses/{spdx}.html" if spdx else link(shown).url
    return Licence(shown, spdx, _HUB.get(spdx, "") or "other", url)


def _key(text: str) -> str:
    """A name without what differs from one spelling to another."""
    words = re.sub(r"\b(the|licen[cs]e|version)\b|(?<=\s)v(?=\d)", " ", text.lower())
    return re.sub(r"[^a-z0-9]+", "", words)


_KNOWN = {_key(spdx): spdx for spdx in _HUB} | dict(_SPELLINGS)


def _of_address(text: str) -> str:
    """SPDX's identifier of the licence that an address of its author, or of SPDX, is of; "" of any other."""
    if found := re.fullmatch(r"https?://creativecommons\.org/licenses/(by[a-z-]{0,6})/(\d\.\d)/?(deed\.\w+|legalcode)?", text):
        spdx = f"CC-{found[1].upper()}-{found[2]}"
    elif re.fullmatch(r"https?://creativecommons\.org/publicdomain/zero/1\.0/?(deed\.\w+|legalcode)?", text):
        spdx = "CC0-1.0"
    elif found := re.fullmatch(r"https?://(?:spdx|opensource|www\.opensource)\.org/licenses/([\w.-]+?)(?:\.html)?/?", text):
        spdx = _KNOWN.get(_key(found[1]), "")
    elif re.fullmatch(r"https?://(www\.)?apache\.org/licenses/LICENSE-2\.0(\.html|\.txt)?", text):
        spdx = "Apache-2.0"
    else:
        return ""
    return spdx if spdx in _HUB else ""
