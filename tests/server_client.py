"""A visitor of a running server without a browser: opens a visit, sends and deletes files."""

import http.client
import os
import socket
from contextlib import ExitStack, contextmanager, suppress

from tests import hostile

TOKEN = "_streamlit_xsrf"
[(_, PNG)] = hostile.good()["png"]
HEAD = b'--x\r\nContent-Disposition: form-data; name="a"; filename="%s"\r\n\r\n'
TAIL = b"\r\n--x--\r\n"


def request(address: str, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None):
    """Return status, headers and body of an answer; status 0 where the server closed the connection instead."""
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    except (ConnectionError, http.client.RemoteDisconnected):
        return 0, {}, b""
    finally:
        connection.close()


def png(size: int) -> bytes:
    """Return a file that begins like a PNG, of that many bytes that do not compress."""
    return PNG + os.urandom(size - len(PNG))


class Visit:
    """A visit with an open web socket, whose first page is complete.

    `session` is its id, `headers` are those that its browser would send.
    """

    def __init__(self, address: str):
        from streamlit.proto.BackMsg_pb2 import BackMsg
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
        from websockets.sync.client import connect
        from websockets.typing import Subprotocol

        self.address = address
        _, headers, _ = request(address, "GET", "/_stcore/health")
        token = headers["set-cookie"].split(f"{TOKEN}=")[1].split(";")[0]
        self.headers = {"Cookie": f"{TOKEN}={token}", "X-Xsrftoken": token}
        self._open = ExitStack()
        socket = self._open.enter_context(
            connect(
                f"ws://{address}/_stcore/stream",
                max_size=2**28,
                subprotocols=[Subprotocol("streamlit")],
                additional_headers={"Cookie": self.headers["Cookie"]},
            )
        )
        message = BackMsg()
        message.rerun_script.query_string = ""
        socket.send(message.SerializeToString())
        while True:
            answer = ForwardMsg.FromString(socket.recv(timeout=120, decode=False))
            if answer.WhichOneof("type") == "new_session":
                self.session = answer.new_session.initialize.session_id
            elif answer.WhichOneof("type") == "script_finished":
                return

    def path(self, file: str) -> str:
        return f"/_stcore/upload_file/{self.session}/{file}"

    def put(self, file: str, content: bytes, headers: dict[str, str] | None = None) -> tuple[int, str]:
        """Send a file; return status and words."""
        headers = {**(self.headers if headers is None else headers), "Content-Type": "multipart/form-data; boundary=x"}
        status, _, words = request(self.address, "PUT", self.path(file), HEAD % b"a.png" + content + TAIL, headers)
        return status, words.decode()

    def delete(self, file: str, headers: dict[str, str] | None = None) -> int:
        return request(self.address, "DELETE", self.path(file), headers=self.headers if headers is None else headers)[0]

    def cut_off(self, file: str, size: int) -> None:
        """Send a file's first bytes and close the connection."""
        with self.half_sent(file, size):
            pass

    @contextmanager
    def half_sent(self, file: str, size: int):
        """Keep a connection open on which a file's last bytes are missing."""
        host, port = self.address.split(":")
        head = f"PUT {self.path(file)} HTTP/1.1\r\nHost: {self.address}\r\nContent-Length: {size + 4096}\r\n"
        head += "Content-Type: multipart/form-data; boundary=x\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in self.headers.items()) + "\r\n"
        with socket.create_connection((host, int(port))) as connection:
            connection.settimeout(30)
            with suppress(OSError):  # refused before the end
                connection.sendall(head.encode() + HEAD % b"a.png" + png(size))
            yield connection

    def close(self) -> None:
        self._open.close()
