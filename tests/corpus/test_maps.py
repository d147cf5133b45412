"""GeoTIFFs that would read the server, claim what is not so, or are merely odd: uploaded, named by path, predicted."""

import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from PIL import Image
from rasterio import Affine
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.rpc import RPC

from tests.corpus.tiffs import BANDS, HEIGHT, PLACE, WIDTH, by_rasterio, doubles, flipped, retagged, shorts, text, tiff
from tests.corpus.trap import Trap, holds_secret, raw_vrt, write_files

pytestmark = [pytest.mark.corpus, pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")]

MAP, PICTURE, EITHER = "", "choose Upload to predict it as a picture", "?"
"""What may come of a file: a map; a sentence on the page and a picture without a place from the command; any of those
or a sentence; or, in words, a sentence that holds these."""

OVERVIEWS = "names another file as its overviews: export it again with its overviews inside."
NO_TIFF = "is not a TIFF image that can be read: export it again."
DAMAGED = "is damaged or cut short: fetch or export the file again."
HOLLOW = "by its header, but far too few bytes for them: fetch or export the file again."
COMPLEX = "holds complex numbers, not colours: export it as RGB."
IN_PIECES = "more than 512 MB each: export it in tiles."


class Case(NamedTuple):
    """A GeoTIFF and what is to come of it.

    Args:
        content: What makes its bytes.
        outcome: What comes of it.
        beside: What makes the files beside it, by their names; None is a pipe.
        size: Height and width as used.
        alone: What comes of it without the files beside it; the same by default.
    """

    content: Callable[[Trap], bytes]
    outcome: str = MAP
    beside: Callable[[Trap], Mapping[str, bytes | None]] = lambda trap: {}
    size: tuple[int, int] = (HEIGHT, WIDTH)
    alone: str | None = None


SHORT, LONG = 16, 1424
"""Height and width of a flat map: so wide that the page would show its overviews, of 1400 pixels."""

FLAT = np.broadcast_to(np.uint8([[[90]], [[60]], [[120]]]), (3, SHORT, LONG))


def flat(**how: object) -> bytes:
    """A map of one colour: whatever else is seen comes from elsewhere."""
    return by_rasterio(FLAT, **how)


def named(overviews: Callable[[Trap], str]) -> Case:
    """A flat map that names something else as its overviews."""
    return Case(lambda trap: flat(tags={"OVERVIEWS": {"OVERVIEW_FILE": overviews(trap)}}), OVERVIEWS)


def noted(domain: str, values: Callable[[Trap], Mapping[str, str]], sample: str = "", outcome: str = MAP) -> Case:
    """A flat map with metadata put in by hand, of all bands or of one."""

    def content(trap: Trap) -> bytes:
        items = "".join(
            f'<Item name="{name}" domain="{domain}"{sample}>{escape(value)}</Item>'
            for name, value in values(trap).items()
        )
        return retagged(flat(), {42112: text(f"<GDALMetadata>{items}</GDALMetadata>")})

    return Case(content, outcome, size=(SHORT, LONG))


def beside(files: Callable[[Trap], Mapping[str, bytes | None]], outcome: str = MAP, **layout: object) -> Case:
    """A flat map with files beside it, by which it may be placed if it is not by itself."""
    return Case(lambda trap: flat(**layout), outcome, files, (SHORT, LONG), PICTURE if layout else outcome)


def geokeys(words: str, *keys: tuple[int, int, int, int]) -> bytes:
    """A map whose coordinate system is put in by hand: (key, place of its value, count, value or offset)."""
    content = by_rasterio()
    directory = shorts(1, 1, 0, len(keys), *(number for key in sorted(keys) for number in key))
    return retagged(content, {34735: directory, 34736: None, 34737: text(words)})


def esri(system: str) -> bytes:
    """A map whose coordinate system is written as ArcGIS does."""
    words = f"ESRI PE String = {system}|"
    return geokeys(words, (1024, 0, 1, 1), (1025, 0, 1, 1), (3072, 0, 1, 32767), (3073, 34737, len(words), 0))


def grid_system(grid: str) -> str:
    """A coordinate system that takes a file of this machine, or of another, to get to WGS 84."""
    return (
        'PROJCS["odd",GEOGCS["odd",DATUM["odd",SPHEROID["Airy",6377563.396,299.3249646],'
        f'EXTENSION["PROJ4_GRIDS","{grid}"]],PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],'
        'PROJECTION["Transverse_Mercator"],PARAMETER["latitude_of_origin",49],PARAMETER["central_meridian",-2],'
        'PARAMETER["scale_factor",0.9996012717],PARAMETER["false_easting",400000],PARAMETER["false_northing",-100000],'
        'UNIT["metre",1],EXTENSION["PROJ4","+proj=tmerc +lat_0=49 +lon_0=-2 +k=0.9996 +x_0=400000 +y_0=-100000 '
        f'+ellps=airy +units=m +nadgrids={grid} +no_defs"]]'
    )


def bound_system(grid: str) -> str:
    """The same as ISO 19162 has it."""
    return (
        'BOUNDCRS[SOURCECRS[GEOGCRS["odd",DATUM["odd",ELLIPSOID["Airy",6377563.396,299.3249646]],CS[ellipsoidal,2],'
        'AXIS["latitude",north],AXIS["longitude",east],ANGLEUNIT["degree",0.0174532925199433]]],TARGETCRS[GEOGCRS['
        '"WGS 84",DATUM["World Geodetic System 1984",ELLIPSOID["WGS 84",6378137,298.257223563]],CS[ellipsoidal,2],'
        'AXIS["latitude",north],AXIS["longitude",east],ANGLEUNIT["degree",0.0174532925199433],ID["EPSG",4326]]],'
        f'ABRIDGEDTRANSFORMATION["by a grid",METHOD["NTv2",ID["EPSG",9615]],PARAMETERFILE["grid","{grid}"]]]'
    )


def derived_system(grid: str) -> str:
    """A system that is another, shifted by a file."""
    return (
        'GEOGCRS["odd",BASEGEOGCRS["WGS 84",DATUM["World Geodetic System 1984",ELLIPSOID["WGS 84",6378137,298.25722]]],'
        f'DERIVINGCONVERSION["by a grid",METHOD["NTv2",ID["EPSG",9615]],PARAMETERFILE["grid","{grid}"]],'
        'CS[ellipsoidal,2],AXIS["latitude",north],AXIS["longitude",east],ANGLEUNIT["degree",0.0174532925199433]]'
    )


def overviews_of(value: int) -> bytes:
    """A TIFF as it would lie beside a flat map for its overviews or for its mask."""
    return by_rasterio(np.full((3, SHORT, 1400), value, np.uint8))


def pam(inside: str) -> bytes:
    return f"<PAMDataset>{inside}</PAMDataset>".encode()


def placed(*transform: float, crs: str = "EPSG:32640") -> Case:
    """A map with another way from pixels to coordinates."""
    a, b, c, d, e, f = transform
    tags = {33550: None, 33922: None, 34264: doubles(a, b, 0, c, d, e, 0, f, 0, 0, 0, 0, 0, 0, 0, 1)}
    return Case(lambda trap: retagged(by_rasterio(crs=crs), tags), EITHER)


def in_system(crs: str, outcome: str = MAP, pixel: float = 1.0, x: float = 0.0, y: float = 0.0) -> Case:
    return Case(lambda trap: by_rasterio(crs=crs, transform=Affine(pixel, 0, x, 0, -pixel, y)), outcome)


def of_type(dtype: str, outcome: str = MAP, count: int = 3, **layout: object) -> Case:
    kind = np.dtype(dtype)

    def content(trap: Trap) -> bytes:
        bands = np.random.default_rng(5).normal(40, 20, (count, HEIGHT, WIDTH))
        return by_rasterio(bands.clip(0, 120).astype(kind), **layout)

    return Case(content, outcome)


def packed(bits: int, dtype: str = "uint8") -> Case:
    """So many bits a value."""
    return Case(lambda trap: by_rasterio((BANDS.astype(dtype) << (bits > 8) * 4) >> max(0, 8 - bits), nbits=bits))


def compressed(method: str, **layout: object) -> Case:
    return Case(lambda trap: by_rasterio(COMPRESS=method, **layout))


def on_one_band(**layout: object) -> Case:
    return Case(lambda trap: by_rasterio(BANDS[:1], **layout))


def cog(trap: Trap) -> bytes:
    """A cloud-optimised GeoTIFF with overviews."""
    bands = np.tile(BANDS, (1, 7, 7))
    with rasterio.MemoryFile(by_rasterio(bands)) as memory, memory.open() as file, rasterio.MemoryFile() as made:
        rasterio.shutil.copy(file, made.name, driver="COG", blocksize=128, compress="deflate")
        return made.read()


def with_mask(trap: Trap) -> bytes:
    with rasterio.MemoryFile() as memory:
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
            layout = {"driver": "GTiff", "count": 3, "height": HEIGHT, "width": WIDTH, "dtype": "uint8"}
            with memory.open(**layout, **PLACE) as file:
                file.write(BANDS)
                file.write_mask(BANDS[0] > 100)
        return memory.read()


def many_directories(count: int) -> bytes:
    """A map before so many directories of one pixel each."""
    content = bytearray(by_rasterio() + bytes(len(by_rasterio()) % 2))
    (at,) = struct.unpack_from("<I", content, 4)
    (entries,) = struct.unpack_from("<H", content, at)
    struct.pack_into("<I", content, at + 2 + 12 * entries, len(content))
    one = tiff(1, 1)[8:-4]
    for place in range(count):
        here = len(content)
        last = place == count - 1
        content += one + struct.pack("<I", 0 if last else here + len(one) + 4 + len(one) % 2) + bytes(len(one) % 2)
    return bytes(content)


def garbage(seed: int, tags: int) -> bytes:
    """A map with so many tags whose values are noise."""
    generator = np.random.default_rng(seed)
    names = generator.choice([256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 320, 322, 323, 338, 339], tags)
    values = {int(tag): (4, generator.bytes(4 * int(generator.integers(1, 4)))) for tag in names}
    return retagged(by_rasterio(), values)


def hollow(height: int, width: int, more: int = 0, count: int = 3, **layout: object) -> bytes:
    """The header of a huge map without a single pixel, and zeros behind it."""
    bands = np.zeros((count, 1, 1), np.uint8)
    return by_rasterio(bands, False, height=height, width=width, SPARSE_OK=True, **layout) + bytes(more)


def bomb(method: str, height: int, width: int, block: int, **layout: object) -> bytes:
    """A map of one value, packed as well as it can be."""
    tiles = {"TILED": True, "BLOCKXSIZE": block, "BLOCKYSIZE": block, "COMPRESS": method}
    with rasterio.MemoryFile() as memory:
        shape = {"count": 1, "height": height, "width": width, "dtype": "uint8", **PLACE}
        with memory.open(driver="GTiff", **shape, **tiles, **layout) as file:
            for top in range(0, height, block):
                rows = np.zeros((1, min(block, height - top), width), np.uint8)
                file.write(rows, window=rasterio.windows.Window(0, top, width, rows.shape[1]))
        return memory.read()


def lying_tile(side: int) -> bytes:
    """A map of a few pixels in one tile of so many a side."""
    return by_rasterio(BANDS[:1], TILED=True, BLOCKXSIZE=side, BLOCKYSIZE=side, COMPRESS="DEFLATE")


CONTROL = [GroundControlPoint(row, column, 3e5 + column, 2e6 - row) for row in (0, 40) for column in (0, 48)]

COEFFICIENTS = RPC(0, 1, 25, 1, [1.0] * 20, [1.0] * 20, 0, 1, 55, 1, [1.0] * 20, [1.0] * 20, 0, 1, 0, 0)

NAMED = {
    "a VRT inside": lambda trap: raw_vrt(trap.secret),
    "a VRT": lambda trap: str(trap.secret.with_suffix(".vrt")),
    "a text": lambda trap: str(trap.secret),
    "a picture": lambda trap: str(trap.secret.with_suffix(".tif")),
    "vrt://": lambda trap: f"vrt://{trap.secret.with_suffix('.tif')}?bands=1",
    "a directory of a picture": lambda trap: f"GTIFF_DIR:1:{trap.secret.with_suffix('.tif')}",
    "a derived picture": lambda trap: f"DERIVED_SUBDATASET:AMPLITUDE:{trap.secret.with_suffix('.tif')}",
    "a pipe": lambda trap: str(trap.pipe),
    "a VRT of a pipe": lambda trap: raw_vrt(trap.pipe),
    "a VRT of an address": lambda trap: raw_vrt(Path("/vsicurl") / trap.address),
    "/vsicurl/": lambda trap: f"/vsicurl/{trap.address}",
    "/vsicurl?": lambda trap: f"/vsicurl?url={trap.address}",
    "/vsicurl_streaming/": lambda trap: f"/vsicurl_streaming/{trap.address}",
    "an address": lambda trap: trap.address,
    "/vsis3/": lambda trap: f"/vsis3/bucket/{trap.address}",
    "/vsiwebhdfs/": lambda trap: f"/vsiwebhdfs/{trap.address}",
    "/vsizip/": lambda trap: f"/vsizip/{trap.secret.with_suffix('.zip')}/secret.txt",
    "/vsizip/ of an address": lambda trap: f"/vsizip//vsicurl/{trap.address}/secret.txt",
    "/vsitar/": lambda trap: f"/vsitar/{trap.secret.with_suffix('.tar')}/secret.txt",
    "/vsigzip/": lambda trap: f"/vsigzip/{trap.secret}",
    "/vsisubfile/": lambda trap: f"/vsisubfile/8_90000,{trap.secret}",
    "/vsisparse/": lambda trap: f"/vsisparse/{trap.secret}",
    "/vsistdin/": lambda trap: "/vsistdin/",
    "WMS": lambda trap: (
        f'<GDAL_WMS><Service name="TMS"><ServerUrl>{trap.address}</ServerUrl></Service><DataWindow><SizeX>1400</SizeX>'
        "<SizeY>16</SizeY></DataWindow><BandsCount>3</BandsCount></GDAL_WMS>"
    ),
    "WCS": lambda trap: f"WCS:{trap.address}?version=2.0.1&coverage=a",
    "itself": lambda trap: "image.tif",
    "what a process was told": lambda trap: "/proc/self/environ",
}

GRIDS = {
    "a file": lambda trap: str(trap.secret),
    "an address": lambda trap: trap.address,
    "a pipe": lambda trap: str(trap.pipe),
}

MAPS = {
    # What a map names is not followed.
    **{f"names {kind}": named(overviews) for kind, overviews in NAMED.items()},
    "names a VRT for a band": noted(
        "OVERVIEWS", lambda trap: {"OVERVIEW_FILE": raw_vrt(trap.secret)}, ' sample="0"', EITHER
    ),
    "names a mask": noted("MASK", lambda trap: {"MASK_FILE": str(trap.secret)}),
    "holds a VRT": noted("xml:VRT", lambda trap: {"": raw_vrt(trap.secret)}),
    "holds a VRT for a band": noted("xml:VRT", lambda trap: {"": raw_vrt(trap.secret)}, ' sample="1"'),
    "names pictures inside": noted(
        "SUBDATASETS", lambda trap: {"SUBDATASET_1_NAME": str(trap.secret), "SUBDATASET_1_DESC": "a"}
    ),
    "names derived pictures": noted(
        "DERIVED_SUBDATASETS", lambda trap: {"DERIVED_SUBDATASET_1_NAME": str(trap.secret)}
    ),
    "holds ArcGIS' metadata": noted("xml:ESRI", lambda trap: {"": f"<GeodataXform>{trap.secret}</GeodataXform>"}),
    "names an elevation model": noted(
        "RPC", lambda trap: {"LINE_OFF": "nan", "RPC_DEM": str(trap.secret), "LINE_NUM_COEFF": "1 " * 20}
    ),
    "names its own geolocation": noted(
        "GEOLOCATION", lambda trap: {"X_DATASET": str(trap.secret), "Y_DATASET": str(trap.pipe), "X_BAND": "1"}
    ),
    "says that its values have no bits": noted("IMAGE_STRUCTURE", lambda trap: {"NBITS": "0"}, outcome=EITHER),
    "says that its values have many bits": noted(
        "IMAGE_STRUCTURE", lambda trap: {"NBITS": "-9" * 30}, ' sample="0"', EITHER
    ),
    "says that its bits are words": noted("IMAGE_STRUCTURE", lambda trap: {"NBITS": "x"}, ' sample="0"', EITHER),
    "says that white is zero": noted("IMAGE_STRUCTURE", lambda trap: {"MINISWHITE": "YES"}, outcome=EITHER),
    "metadata that is no XML": Case(lambda trap: retagged(by_rasterio(), {42112: text("<GDALMetadata><Item")})),
    "metadata with an entity": Case(
        lambda trap: retagged(
            by_rasterio(),
            {42112: text(f'<!DOCTYPE a [<!ENTITY b SYSTEM "{trap.secret}">]><GDALMetadata>&b;</GDALMetadata>')},
        )
    ),
    "metadata ten thousand deep": Case(lambda trap: retagged(by_rasterio(), {42112: text("<a>" * 10_000)})),
    "metadata of a million items": Case(
        lambda trap: retagged(
            by_rasterio(), {42112: text("<GDALMetadata>" + '<Item name="a">b</Item>' * 400_000 + "</GDALMetadata>")}
        )
    ),
    # What lies beside it is not read, but for numbers and the name of a system.
    "overviews beside": beside(lambda trap: {"a.tif.ovr": overviews_of(200), "a.ovr": overviews_of(200)}),
    "overviews beside that are a VRT": beside(lambda trap: {"a.tif.ovr": raw_vrt(trap.secret).encode()}),
    "overviews beside that are a pipe": beside(lambda trap: {"a.tif.ovr": None}),
    "notes beside that name overviews": beside(
        lambda trap: {
            "a.tif.aux.xml": pam(
                f'<Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{escape(raw_vrt(trap.secret))}</MDI></Metadata>'
            )
        }
    ),
    "notes beside that name a mask": beside(
        lambda trap: {
            "a.aux.xml": pam(f'<PAMRasterBand band="1"><MaskBand><VRTRasterBand>{trap.secret}</VRTRasterBand>'),
            "a.tif.aux.xml": pam(f'<Metadata domain="xml:VRT" format="xml">{raw_vrt(trap.secret)}</Metadata>'),
        }
    ),
    "notes beside that are a pipe": beside(lambda trap: {"a.tif.aux.xml": None, "a.aux": None}),
    "a mask beside": beside(lambda trap: {"a.tif.msk": by_rasterio(np.zeros((1, SHORT, LONG), np.uint8))}),
    "a mask beside that is a VRT": beside(lambda trap: {"a.tif.msk": raw_vrt(trap.secret).encode()}),
    "a VRT and XML beside": beside(
        lambda trap: {"a.vrt": raw_vrt(trap.secret).encode(), "a.xml": b"<x/>", "a.tif.xml": b"<metadata/>"}
    ),
    "satellites' notes beside": beside(
        lambda trap: {
            "a.IMD": f'BEGIN_GROUP = "{trap.secret}"\nEND_GROUP\nEND;'.encode(),
            "a.RPB": b'satId = "QB02";\nBEGIN_GROUP = IMAGE\nEND_GROUP\nEND;',
            "a_rpc.txt": b"LINE_OFF: 1",
            "a_metadata.txt": b"GROUP = L1_METADATA_FILE",
            "METADATA.DIM": None,
        }
    ),
    "a world file beside": beside(
        lambda trap: {"a.tfw": b"0.5 0 0 -0.5 300000.25 2699999.75"}, transform=Affine.identity()
    ),
    "a world file of words": beside(lambda trap: {"a.tfw": b"one two three"}, PICTURE, transform=Affine.identity()),
    "a world file of NaN": beside(
        lambda trap: {"a.tfw": b"nan inf 0 0 1e999 -1"}, PICTURE, transform=Affine.identity()
    ),
    "a world file of a gigabyte": beside(
        lambda trap: {"a.tfw": b"1 " * (1 << 20)}, PICTURE, transform=Affine.identity()
    ),
    "a world file that is a pipe": beside(lambda trap: {"a.tfw": None}, PICTURE, transform=Affine.identity()),
    "a table of MapInfo's beside": beside(
        lambda trap: {"a.tab": f'!table\nDefinition Table\nFile "{trap.secret}"'.encode()},
        PICTURE,
        transform=Affine.identity(),
    ),
    **{
        f"a projection beside that needs {kind}": beside(
            lambda trap, grid=grid: {"a.prj": grid_system(grid(trap)).encode()}, crs=None
        )
        for kind, grid in GRIDS.items()
    },
    "a projection beside that is bound by a file": beside(
        lambda trap: {"a.prj": bound_system(str(trap.secret)).encode()}, crs=None
    ),
    "a projection beside that is derived by a file": beside(
        lambda trap: {"a.prj": derived_system(str(trap.secret)).encode()}, PICTURE, crs=None
    ),
    "a projection beside that is an address": beside(lambda trap: {"a.prj": trap.address.encode()}, PICTURE, crs=None),
    "a projection beside that is a file's name": beside(
        lambda trap: {"a.prj": f"+init={trap.secret}:1 +type=crs".encode()}, PICTURE, crs=None
    ),
    "a projection beside that is a pipe": beside(lambda trap: {"a.prj": None}, PICTURE, crs=None),
    "a projection beside that is nested": beside(lambda trap: {"a.prj": b"PROJCS[" * 9000}, PICTURE, crs=None),
    # Coordinate systems that take other files.
    **{
        f"a system that needs {kind}": Case(lambda trap, grid=grid: esri(grid_system(grid(trap))), EITHER)
        for kind, grid in GRIDS.items()
    },
    "a system bound by a file": Case(lambda trap: esri(bound_system(str(trap.secret))), EITHER),
    "a system that is an address": Case(lambda trap: esri(trap.address), EITHER),
    # Coordinate systems that are broken or odd.
    "no keys": Case(lambda trap: geokeys("x|"), PICTURE),
    "keys of noise": Case(
        lambda trap: retagged(by_rasterio(), {34735: shorts(*np.random.default_rng(1).integers(0, 65536, 64))}), EITHER
    ),
    "keys that point nowhere": Case(lambda trap: geokeys("x|", (1024, 34737, 60_000, 60_000)), EITHER),
    "sixty thousand keys": Case(
        lambda trap: retagged(by_rasterio(), {34735: shorts(1, 1, 0, 16_000, *([3072, 0, 1, 32_640] * 16_000))}), EITHER
    ),
    "a code that there is not": Case(lambda trap: geokeys("x|", (1024, 0, 1, 1), (3072, 0, 1, 31_999)), EITHER),
    "a vertical code for a plane": Case(lambda trap: geokeys("x|", (1024, 0, 1, 1), (3072, 0, 1, 5703)), EITHER),
    "a user's system of nothing": Case(lambda trap: geokeys("x|", (1024, 0, 1, 32_767)), EITHER),
    "an ellipsoid of no size": Case(
        lambda trap: retagged(
            geokeys("x|", (1024, 0, 1, 2), (2048, 0, 1, 32_767), (2057, 34_736, 1, 0), (2058, 34_736, 1, 1)),
            {34736: doubles(0.0, float("nan"))},
        ),
        EITHER,
    ),
    "a site's system": in_system('LOCAL_CS["site",UNIT["metre",1],AXIS["Easting",EAST],AXIS["Northing",NORTH]]'),
    "a site's system without a unit": in_system('LOCAL_CS["site"]', EITHER),
    "an engineer's system": in_system(
        'ENGCRS["x",EDATUM["y"],CS[Cartesian,2],AXIS["a",east],AXIS["b",north],LENGTHUNIT["metre",1]]', EITHER
    ),
    "the Moon": in_system("+proj=longlat +R=1737400 +no_defs", pixel=0.01),
    "the Moon's plane": in_system("+proj=stere +lat_0=90 +R=1737400 +units=m"),
    "heights only": in_system("EPSG:5703", EITHER),
    "a plane with heights": in_system("EPSG:32640+5773", x=3e5, y=2.7e6),
    "the Earth's middle": in_system("EPSG:4978", EITHER),
    "longitude and latitude with heights": in_system("EPSG:4979", pixel=1e-5, x=55, y=25),
    "a system bound to WGS 84": in_system("+proj=utm +zone=40 +ellps=intl +towgs84=1,2,3,4,5,6,7", x=3e5, y=2.7e6),
    "a derived system": in_system("+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=40 +lon_0=9 +R=6370000", EITHER),
    "the north pole": in_system("EPSG:3413", pixel=1000, x=-24_000, y=20_000),
    "the south pole": in_system("EPSG:3031", pixel=1000, x=-24_000, y=20_000),
    "south up": in_system("EPSG:2053", x=1e5, y=3e6),
    "a satellite's view": in_system("+proj=geos +h=35785831 +lon_0=0 +sweep=x +ellps=GRS80", pixel=3e5, x=-7e6, y=6e6),
    "the whole world": in_system("EPSG:4326", pixel=7.5, x=-180, y=150),
    "across the date line": in_system("EPSG:4326", pixel=0.1, x=179, y=2),
    "a plane in feet": in_system("EPSG:2263", x=9.9e5, y=2.1e5),
    "a system with a name of ten thousand letters": in_system(f'LOCAL_CS["{"x" * 10_000}",UNIT["metre",1]]', EITHER),
    "a system that is named like a page": in_system(
        'LOCAL_CS["<script>alert(1)</script> **$x$**",UNIT["metre",1],AXIS["E",EAST],AXIS["N",NORTH]]'
    ),
    "a system named in no known letters": Case(
        lambda trap: geokeys(
            "x|", (1024, 0, 1, 1), (1025, 0, 1, 1), (3072, 0, 1, 32_767), (1026, 34_737, 9, 0)
        ).replace(b"x|", b"\xff|"),
        EITHER,
    ),
    # Places that are none.
    "a place of NaN": placed(float("nan"), 0, 0, 0, float("nan"), 0),
    "a place of infinity": placed(float("inf"), 0, 0, 0, -1, 0),
    "pixels of no size": placed(0, 0, 3e5, 0, 0, 2.7e6),
    "pixels in a line": placed(1, 1, 3e5, 1, 1, 2.7e6),
    "pixels beyond all numbers": placed(1e308, 0, 1e308, 0, -1e308, 1e308),
    "pixels of a light year": placed(1e16, 0, 0, 0, -1e16, 0),
    "pixels of an atom": placed(1e-300, 0, 3e5, 0, -1e-300, 2.7e6),
    "degrees beyond the poles": placed(90, 0, 9e9, 0, 90, 1e12, crs="EPSG:4326"),
    "a huge site": Case(
        lambda trap: by_rasterio(crs='LOCAL_CS["site",UNIT["metre",1]]', transform=Affine(1e200, 0, 0, 0, -1e200, 0)),
        EITHER,
    ),
    "rotated": Case(lambda trap: by_rasterio(transform=Affine.translation(3e5, 2.7e6) * Affine.rotation(30))),
    "upside down": Case(lambda trap: by_rasterio(transform=Affine(0.5, 0, 3e5, 0, 0.5, 2.7e6))),
    "no transform": Case(lambda trap: by_rasterio(transform=Affine.identity()), PICTURE),
    "no system": Case(lambda trap: by_rasterio(crs=None), PICTURE),
    "control points": Case(lambda trap: by_rasterio(transform=None, gcps=CONTROL), PICTURE),
    "coefficients": Case(lambda trap: by_rasterio(crs=None, transform=None, rpcs=COEFFICIENTS), PICTURE),
    "two thousand tie points": Case(
        lambda trap: retagged(by_rasterio(), {33922: doubles(*np.arange(12_000.0)), 33550: None}), EITHER
    ),
    "half a tie point": Case(lambda trap: retagged(by_rasterio(), {33922: doubles(1, 2, 3)}), EITHER),
    "half a scale": Case(lambda trap: retagged(by_rasterio(), {33550: doubles(1)}), EITHER),
    # Values of every type.
    **{f"{dtype}": of_type(dtype) for dtype in ("int8", "uint16", "int16", "int32", "uint64")},
    **{f"{dtype}": of_type(dtype) for dtype in ("float32", "float64")},
    "float16": of_type("float32", NBITS=16),
    **{f"{dtype}": of_type(dtype, COMPLEX) for dtype in ("complex64", "complex128")},
    **{f"{bits} bits": packed(bits) for bits in (1, 2, 4, 7)},
    **{f"{bits} bits": packed(bits, "uint16") for bits in (9, 12)},
    "floats beyond all numbers": Case(
        lambda trap: by_rasterio(np.where(BANDS > 99, np.finfo("f4").max, np.finfo("f4").min).astype("f4"))
    ),
    "doubles beyond all numbers": Case(
        lambda trap: by_rasterio(np.where(BANDS > 99, np.finfo("f8").max, np.finfo("f8").min))
    ),
    "nothing but NaN": Case(lambda trap: by_rasterio(np.full((3, HEIGHT, WIDTH), np.nan, np.float32))),
    "nothing but infinity": Case(lambda trap: by_rasterio(np.full((1, HEIGHT, WIDTH), -np.inf, np.float64))),
    # Colours of every kind.
    "white is zero": on_one_band(photometric="MINISWHITE"),
    "white is zero, 1 bit": Case(lambda trap: by_rasterio(BANDS[:1] >> 7, photometric="MINISWHITE", nbits=1)),
    "white is zero, 16 bits": on_one_band(photometric="MINISWHITE", dtype="uint16"),
    "palette": on_one_band(colors={index: (index, 0, 255 - index, 255) for index in range(256)}),
    "palette of 16 colours": Case(
        lambda trap: by_rasterio(BANDS[:1] >> 4, colors={index: (index, 9, 9, 0) for index in range(16)}, nbits=4)
    ),
    "palette of 16 bits": on_one_band(colors=dict.fromkeys(range(65536), (1, 2, 3, 255)), dtype="uint16"),
    "palette that is cut short": Case(
        lambda trap: retagged(by_rasterio(BANDS[:1]), {262: shorts(3), 320: shorts(*range(30))}), EITHER
    ),
    "CIELAB": Case(lambda trap: by_rasterio(photometric="CIELAB")),
    "CMYK": Case(lambda trap: by_rasterio(np.tile(BANDS, (2, 1, 1))[:4], photometric="CMYK")),
    "YCbCr in JPEG": Case(lambda trap: by_rasterio(photometric="YCBCR", COMPRESS="JPEG")),
    "photometry that there is not": Case(lambda trap: retagged(by_rasterio(), {262: shorts(999)}), EITHER),
    **{
        f"alpha {kind}": Case(lambda trap, kind=kind: by_rasterio(np.tile(BANDS, (2, 1, 1))[:4], ALPHA=kind))
        for kind in ("YES", "PREMULTIPLIED", "UNSPECIFIED")
    },
    "alpha on grey": Case(lambda trap: by_rasterio(BANDS[:2], ALPHA="YES")),
    "alpha alone": Case(lambda trap: by_rasterio(BANDS[:1], kinds=(ColorInterp.alpha,))),
    "alpha before colours": Case(
        lambda trap: by_rasterio(
            np.tile(BANDS, (2, 1, 1))[:4],
            kinds=(ColorInterp.alpha, ColorInterp.blue, ColorInterp.green, ColorInterp.red),
        )
    ),
    **{
        f"no data {value[:9]}": Case(lambda trap, value=value: retagged(by_rasterio(), {42113: text(value)}), EITHER)
        for value in ("0", "-9999", "nan", "1e999", "NaN NaN", "", "x" * 60_000)
    },
    "no data everywhere": Case(lambda trap: by_rasterio(np.zeros_like(BANDS), nodata=0)),
    "a mask inside": Case(with_mask),
    # Bands and layouts.
    "no bands": Case(lambda trap: retagged(by_rasterio(), {277: shorts(0)}), EITHER),
    **{
        f"{count} bands": Case(lambda trap, count=count: by_rasterio(np.resize(BANDS, (count, HEIGHT, WIDTH))))
        for count in (1, 2, 4, 7, 200)
    },
    "65,535 bands": Case(
        lambda trap: retagged(by_rasterio(BANDS[:1]), {277: shorts(65_535), 258: shorts(*[8] * 65_535)}), EITHER
    ),
    "tiles": Case(lambda trap: by_rasterio(TILED=True, BLOCKXSIZE=16, BLOCKYSIZE=32)),
    "a row a strip": Case(lambda trap: by_rasterio(BLOCKYSIZE=1)),
    "planes apart": Case(lambda trap: by_rasterio(INTERLEAVE="BAND", TILED=True, BLOCKXSIZE=16, BLOCKYSIZE=16)),
    "big endian": Case(lambda trap: by_rasterio(ENDIANNESS="BIG")),
    "BigTIFF": Case(lambda trap: by_rasterio(BIGTIFF="YES")),
    "sparse": Case(lambda trap: by_rasterio(write=False, SPARSE_OK=True)),
    "cloud optimised": Case(cog, size=(7 * HEIGHT, 7 * WIDTH)),
    "one pixel": Case(lambda trap: by_rasterio(BANDS[:, :1, :1]), size=(1, 1)),
    "one column": Case(lambda trap: by_rasterio(BANDS[:, :, :1]), size=(HEIGHT, 1)),
    # Everything that packs.
    **{
        method: compressed(method)
        for method in ("LZW", "DEFLATE", "ZSTD", "LZMA", "PACKBITS", "LERC", "LERC_ZSTD", "JPEG", "WEBP")
    },
    "deflated differences": compressed("DEFLATE", PREDICTOR=2),
    "differences of floats": Case(lambda trap: by_rasterio(BANDS.astype(np.float32), COMPRESS="ZSTD", PREDICTOR=3)),
    **{
        method: Case(lambda trap, method=method: by_rasterio(BANDS[:1] >> 7, COMPRESS=method, nbits=1))
        for method in ("CCITTFAX3", "CCITTFAX4", "CCITTRLE")
    },
    "packed in a way that there is not": Case(lambda trap: retagged(by_rasterio(), {259: shorts(31_337)}), EITHER),
    "packed in another way than it says": Case(
        lambda trap: retagged(by_rasterio(COMPRESS="DEFLATE"), {259: shorts(5)}), DAMAGED
    ),
    # Damage.
    **{
        f"cut after {share} %": Case(
            lambda trap, share=share: (whole := by_rasterio(COMPRESS="LZW"))[: len(whole) * share // 100], EITHER
        )
        for share in (5, 50, 90)
    },
    **{
        f"bits turned over {seed}": Case(lambda trap, seed=seed: flipped(by_rasterio(COMPRESS="DEFLATE"), seed), EITHER)
        for seed in range(100, 103)
    },
    **{
        f"noise for {tags} tags, {seed}": Case(lambda trap, tags=tags, seed=seed: garbage(seed, tags), EITHER)
        for tags in (1, 3, 8)
        for seed in range(2)
    },
    "twenty thousand directories": Case(lambda trap: many_directories(20_000), EITHER),
    "a directory that follows itself": Case(lambda trap: tiff(9, 9, following=8), EITHER),
    # Bombs.
    "60,000 × 60,000 without pixels": Case(
        lambda trap: hollow(60_000, 60_000, TILED=True, BLOCKXSIZE=512, BLOCKYSIZE=512), HOLLOW
    ),
    "the most that there can be": Case(
        lambda trap: retagged(by_rasterio(), dict.fromkeys((256, 257), (4, struct.pack("<I", (1 << 31) - 1)))), EITHER
    ),
    "one block of 20,000 × 20,000": Case(
        lambda trap: hollow(20_000, 20_000, 1 << 20, TILED=True, BLOCKXSIZE=20_000, BLOCKYSIZE=20_000), IN_PIECES
    ),
    "two million wide": Case(lambda trap: hollow(9, 2_000_000), HOLLOW),
    "two million tall": Case(lambda trap: hollow(2_000_000, 9, BLOCKYSIZE=2_000_000), HOLLOW),
    "over a hundred thousand wide": Case(lambda trap: hollow(4, 110_000), size=(4, 110_000)),
    "over a hundred thousand tall": Case(lambda trap: hollow(110_000, 4), size=(110_000, 4)),
    "a tile far larger than the map": Case(lambda trap: lying_tile(16_384)),
    **{
        f"a bomb of {method}": Case(lambda trap, method=method: bomb(method, 8192, 8192, 4096), HOLLOW)
        for method in ("ZSTD", "LZMA")
    },
    **{
        f"a small bomb of {method}": Case(lambda trap, method=method: bomb(method, 16, 16, 8192), size=(16, 16))
        for method in ("DEFLATE", "LZW", "JPEG", "ZSTD")
    },
}


@pytest.mark.parametrize("case", MAPS.values(), ids=MAPS)
def test_a_map_reads_nothing_but_itself_and_stops_no_other(
    case: Case, trap: Trap, view: Callable, predict: Callable, tmp_path: Path, trained: object
) -> None:
    content = case.content(trap)
    around = case.beside(trap)
    # What is honest is shown once and predicted by the command alone: in all ways in it is one function.
    hostile = case.size == (SHORT, LONG)
    maps = trained.run.folder.parent / "maps"
    kept = set(maps.rglob("*"))
    write_files(tmp_path / "images", {})
    Image.fromarray(sound_pixels(case)).save(tmp_path / "images" / "sound.png")
    with trap.watched():
        assert_shown(case if case.alone is None else case._replace(outcome=case.alone), view(content), predicted=False)
        if hostile or around:
            assert_shown(case, view(content, around, predicted=hostile), predicted=hostile)
        # Windows that overlap are tested elsewhere: of the longest map they are thousands.
        done = predict({"a.tif": content, **around}, None, "--confidence", "--polygons", "--overlap", "0")
    assert_keeps_secret(path for path in maps.rglob("*") if path not in kept)
    rows = done.table.set_index("image")
    assert list(rows.index) == ["a.tif", "sound.png"]
    assert rows.loc["sound.png", "problem"] == ""
    assert {"sound-colours.png", "sound-indices.png"} <= done.files
    assert_keeps_secret((tmp_path / "out").iterdir())
    made = {name for name in done.files if name.startswith("a-")}
    if done.code == 3:
        assert case.outcome not in (MAP, PICTURE)
        assert len(done.err) == 1
        assert_one_sentence(done.err[0])
        assert case.outcome in (EITHER, OVERVIEWS) or case.outcome in done.err[0] or NO_TIFF in case.outcome
        assert made == set()
        return
    assert done.code == 0
    if "a-classes.tif" not in made:
        assert case.outcome not in (MAP, IN_PIECES, HOLLOW, COMPLEX)
        assert made == {"a-colours.png", "a-indices.png"}
        return
    assert case.outcome in (MAP, EITHER)
    assert made == {"a-classes.tif", "a-classes.tif.aux.xml", "a-confidence.tif", "a-classes.geojson"}
    json.loads((tmp_path / "out" / "a-classes.geojson").read_text(), parse_constant=pytest.fail)
    with rasterio.open(tmp_path / "out" / "a-classes.tif") as file:
        assert case.outcome == EITHER or file.shape == case.size
        if case.size == (SHORT, LONG):
            with Image.open(tmp_path / "out" / "sound-indices.png") as expected:
                assert np.array_equal(file.read(1), np.asarray(expected))


def sound_pixels(case: Case) -> np.ndarray:
    """What is to be seen of a flat map; of others anything."""
    return np.ascontiguousarray((FLAT if case.size == (SHORT, LONG) else BANDS).transpose(1, 2, 0))


def assert_shown(case: Case, seen: object, predicted: bool) -> None:
    assert seen.shown.exceptions == []
    assert not holds_secret(seen.sent)
    assert not any(holds_secret(np.ascontiguousarray(picture).tobytes()) for picture in seen.pictures)
    assert len(seen.shown.errors) <= 1
    for sentence in seen.shown.errors:
        assert_one_sentence(sentence)
    if case.outcome == MAP:
        assert seen.shown.errors == []
        height, width = case.size
        assert f"{width:,} × {height:,} px" in seen.shown.words
        assert len(seen.pictures) == (4 if predicted else 1)
    elif case.outcome != EITHER:
        assert len(seen.shown.errors) == 1
        assert case.outcome in seen.shown.errors[0]
    if case.size == (SHORT, LONG) and seen.pictures:
        assert np.ptp(seen.pictures[0], axis=(0, 1)).max() == 0  # a flat map is flat


def assert_one_sentence(sentence: str) -> None:
    assert sentence.startswith(("a.tif", "upload.tif"))
    assert sentence.endswith((".", "as a picture"))
    assert "\n" not in sentence
    assert "cannot be predicted (" not in sentence


def assert_keeps_secret(paths: object) -> None:
    """No file holds any of the secret, whether as it is or as pixels."""
    for path in paths:
        if not path.is_file():
            continue
        assert not holds_secret(path.read_bytes()), path
        if path.suffix == ".tif":
            with rasterio.open(path) as file:
                assert not holds_secret(file.read(1).tobytes()), path
