"""The fake CRM as a server on loopback, in a thread of this process."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from conversions_assets.demo.fake_crm.app import FakeCrm


@contextmanager
def serving(fake: FakeCrm, port: int = 0) -> Iterator[str]:
    """Serve until the end of the block; the address, `http://127.0.0.1:<port>` with a free port unless one is given.

    Raises:
        OSError: the port is taken.
    """
    # No access log: a Pipedrive token may stand in a query.
    config = uvicorn.Config(fake, host="127.0.0.1", port=port, access_log=False, log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    socket = config.bind_socket()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]}, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        socket.close()
