"""Serves an H.264 file over RTSP with GStreamer; a program for the distribution's Python, not for the tests'.

usage: gst_rtsp_server.py FILE once|loop

Prints "port N" when it listens on 127.0.0.1, and ends when its standard input does. Each client is played to
from the beginning of the file, at the speed it was recorded; nothing is encoded anew.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstApp, GstRtspServer  # noqa: E402, F401 - importing GstApp teaches appsink its methods

READ = (
    "filesrc name=file ! qtdemux ! h264parse config-interval=-1 !"
    " video/x-h264,stream-format=byte-stream,alignment=au ! appsink name=out sync=false"
)
SEND = "( appsrc name=in format=time is-live=true max-buffers=16 ! h264parse ! rtph264pay name=pay0 pt=96 )"


def read_units(path):
    """The caps, the access units as (bytes, pts, dts, is keyframe), and the length; times in ns from 0."""
    pipeline = Gst.parse_launch(READ)
    pipeline.get_by_name("file").set_property("location", path)
    sink = pipeline.get_by_name("out")
    pipeline.set_state(Gst.State.PLAYING)
    units, caps = [], None
    while sample := sink.pull_sample():
        buffer, caps = sample.get_buffer(), sample.get_caps()
        is_key = not buffer.has_flags(Gst.BufferFlags.DELTA_UNIT)
        units.append((buffer.extract_dup(0, buffer.get_size()), buffer.pts, buffer.dts, is_key))
    _, length = pipeline.query_duration(Gst.Format.TIME)
    pipeline.set_state(Gst.State.NULL)
    if not units:
        sys.exit("no H.264 pictures in the file")
    start = min(min(pts, dts) for _, pts, dts, _ in units)
    return caps, [(data, pts - start, dts - start, is_key) for data, pts, dts, is_key in units], length


class Feed:
    """Pushes the units into one client's pipeline whenever it wants more."""

    def __init__(self, source, units, length, loop):
        self.source, self.units, self.length, self.loop = source, units, length, loop
        self.next = 0
        source.connect("need-data", self.push)

    def push(self, source, _wanted):
        turn, index = divmod(self.next, len(self.units))
        if turn and not self.loop:
            source.emit("end-of-stream")
            return
        data, pts, dts, is_key = self.units[index]
        buffer = Gst.Buffer.new_wrapped(data)
        buffer.pts, buffer.dts = pts + turn * self.length, dts + turn * self.length
        if not is_key:
            buffer.set_flags(Gst.BufferFlags.DELTA_UNIT)
        self.next += 1
        source.emit("push-buffer", buffer)


class Factory(GstRtspServer.RTSPMediaFactory):
    """Gives every client a pipeline of its own."""

    def __init__(self, path, loop):
        super().__init__()
        self.caps, self.units, self.length = read_units(path)
        self.loop = loop
        self.set_launch(SEND)
        self.set_shared(False)

    def do_configure(self, media):
        source = media.get_element().get_by_name_recurse_up("in")
        source.set_property("caps", self.caps)
        # The feed lives as long as its source, which holds the callback.
        Feed(source, self.units, self.length, self.loop)


def main(path, mode):
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    # Without a pool one client whose media never gets ready stops all the others.
    pool = GstRtspServer.RTSPThreadPool.new()
    pool.set_max_threads(8)
    server.set_thread_pool(pool)
    factory = Factory(path, mode == "loop")
    server.get_mount_points().add_factory("/stream", factory)
    server.attach(None)
    print("port", server.get_bound_port(), flush=True)
    loop = GLib.MainLoop()
    GLib.io_add_watch(sys.stdin.fileno(), GLib.IO_HUP, lambda *_: loop.quit())
    loop.run()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
