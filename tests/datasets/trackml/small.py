"""TrackML CSV events of three hits, as text."""

import gzip
import zipfile
from collections.abc import Mapping
from pathlib import Path

HITS = """hit_id,x,y,z,volume_id,layer_id,module_id
3,72.5,1.25,-30.5,8,4,17
1,32.5,0.1,-12.25,8,2,5
2,-60.25,4.5,-1502.5,7,2,1
"""
TRUTH = """hit_id,particle_id,tx,ty,tz,tpx,tpy,tpz,weight
1,4505867370102785,32.4,0.1,-12,1.5,0.25,-0.5,0.75
2,0,-60.2,4.5,-1502.5,-536408.0,16491.7,-843797.0,0.0
3,4505867370102785,72.4,1.2,-30,1.5,0.26,-0.5,0.25
"""
PARTICLES = """particle_id,particle_type,vx,vy,vz,px,py,pz,q,nhits
4505867370102785,-211,-0.02,-0.003,2.5,1.5,0.25,-0.5,-1,2
4505867370102784,13,0,0,0,0,2,1,-1,0
"""
CELLS = "hit_id,ch0,ch1,value\n1,274,839,0.3\n"

TEXTS = {"hits": HITS, "truth": TRUTH, "particles": PARTICLES}


def write_event(folder: Path, number: int, packed: bool = False, **texts: str | bytes | None) -> Path:
    """Writes the files of an event. A text replaces one of them, None leaves it out."""
    folder.mkdir(exist_ok=True)
    for kind, text in {**TEXTS, **texts}.items():
        if text is not None:
            content = text if isinstance(text, bytes) else text.encode()
            name = f"event{number:09d}-{kind}.csv"
            (folder / (f"{name}.gz" if packed else name)).write_bytes(
                gzip.compress(content) if packed else content
            )
    return folder


def write_zip(path: Path, contents: Mapping[str, bytes]) -> Path:
    """Writes a zip file with names as they are given, backslashes included."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return path
