"""The processes that read what GDAL reads, one per file, and can read nothing else.

GeoTIFFs, JPEG 2000, and pictures of more than 8 bits. GDAL follows whatever names a file holds.

A TIFF may name its overviews, its mask or a grid for its coordinates: any file of this machine, an address on the
network, a pipe. So each file gets a process that has only that file open. Before GDAL sees the first byte of it, the
process gives up the right to open anything else (a limit of no further file descriptors binds files, sockets and
programs alike, also for root) and bounds its memory.

To start such a process takes a third of a second, most of it to import GDAL and PROJ. A host does that once and is
forked for every file; it never opens one itself, and ends with the process that started it.

Requests are pickled tuples of a method's name and its arguments, from the process that started the host. Answers are
never unpickled: a line of JSON, and for an array its bytes.
"""

import json
import os
import resource
import signal
import socket
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection

import numpy as np
import numpy.ma
import rasterio
from pyproj import Transformer
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning

from segmentation.data.raster_file import CACHE, LONGITUDE_LATITUDE, Reader, Refused

MEMORY = 3 << 29
"""Bytes that this process may address: its libraries take a sixth of it, the largest block that is read a third."""


def give_up_rights() -> None:
    """Let this process open nothing from now on, and take bounded memory; what is open stays open.

    What PROJ knows of coordinate systems is opened before, by GDAL's PROJ and by pyproj's.
    """
    CRS.from_epsg(3857).to_wkt()
    Transformer.from_crs(LONGITUDE_LATITUDE, "EPSG:3857").transform(0, 0)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))


def host(control: socket.socket) -> None:
    """Fork a process for every file that comes, with a connection to whoever asks, until nobody can ask any more."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the processes
    while True:
        message, descriptors, *_ = socket.recv_fds(control, 1, 2)
        if not message:
            return
        if os.fork():
            for descriptor in descriptors:
                os.close(descriptor)
            continue
        control.close()
        connection, file = descriptors
        with suppress(OSError):  # nobody listens any more
            serve(Connection(connection), file)
        return


def serve(connection: Connection, descriptor: int) -> None:
    """Answer requests until the other side closes the connection."""
    how = connection.recv()
    # First of all: one that is stuck in opening the file could not be ended otherwise.
    connection.send_bytes(json.dumps({"value": {"reader": os.getpid()}}).encode())
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    # Nothing beside the file is looked for, and nothing that somebody else noted about it.
    # One thread: others would take memory, which is bounded, and open the file anew.
    options = {"GDAL_CACHEMAX": CACHE, "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_PAM_ENABLED": "NO"}
    with rasterio.Env(**options, GDAL_NUM_THREADS=1):
        give_up_rights()
        reader: Reader | None = None
        while True:
            try:
                method, *arguments = ("about",) if reader is None else connection.recv()
            except EOFError:
                return
            try:
                reader = reader or Reader(descriptor, *how)
                _answer(connection, getattr(reader, method), arguments)
            except Refused as refused:
                connection.send_bytes(json.dumps({"refused": str(refused)}).encode())
            except MemoryError:
                connection.send_bytes(json.dumps({"refused": "takes too much memory: export it in tiles."}).encode())
            except Exception as error:  # whatever GDAL and PROJ raise: to the user all mean the same
                connection.send_bytes(json.dumps({"error": f"{type(error).__name__}: {error}"}).encode())


def _answer(connection: Connection, method: Callable, arguments: list) -> None:
    answer = method(*arguments)
    if isinstance(answer, dict):
        connection.send_bytes(json.dumps({"value": answer}).encode())
        return
    array = np.ascontiguousarray(answer)
    connection.send_bytes(json.dumps({"shape": array.shape, "dtype": array.dtype.str}).encode())
    if array.size:
        connection.send_bytes(memoryview(array).cast("B"))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    host(socket.socket(fileno=int(sys.argv[1])))
    os._exit(0)  # GDAL's own farewell is of no use here
