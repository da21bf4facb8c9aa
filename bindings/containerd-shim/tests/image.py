#!/usr/bin/env python3
"""Writes an image as `ctr images import` reads it, an OCI layout in a tar.

    image.py OUT NAME [--entrypoint TEXT]... [--env NAME=VALUE]... [--platform OS/PROCESSOR] [--user UID:GID]
             [PATH=FILE]...

Each PATH=FILE is a file of the image's only layer. Without --entrypoint the image has none.
"""

import argparse
import gzip
import hashlib
import io
import json
import platform
import tarfile

PROCESSORS = {"x86_64": "amd64", "aarch64": "arm64"}
OCI = "application/vnd.oci.image."


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("name")
    parser.add_argument("--entrypoint", action="append", default=[])
    parser.add_argument("--env", action="append", default=[])
    parser.add_argument("--platform")
    parser.add_argument("--user", default="")
    parser.add_argument("files", nargs="*")
    return parser.parse_intermixed_args()


def layer(files):
    """A tar of the files, with their folders."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        folders = set()
        for file in files:
            path, source = file.split("=", 1)
            path = path.lstrip("/")
            parts = path.split("/")[:-1]
            for end in range(1, len(parts) + 1):
                folder = "/".join(parts[:end])
                if folder not in folders:
                    folders.add(folder)
                    info = tarfile.TarInfo(folder)
                    info.type, info.mode = tarfile.DIRTYPE, 0o755
                    tar.addfile(info)
            with open(source, "rb") as opened:
                content = opened.read()
            info = tarfile.TarInfo(path)
            info.size, info.mode = len(content), 0o755
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


class Layout:
    """The blobs of an image, by their hashes."""

    def __init__(self, out):
        self.tar = tarfile.open(out, mode="w")

    def add(self, path, content):
        info = tarfile.TarInfo(path)
        info.size = len(content)
        self.tar.addfile(info, io.BytesIO(content))

    def blob(self, kind, content):
        digest = hashlib.sha256(content).hexdigest()
        self.add(f"blobs/sha256/{digest}", content)
        return {"mediaType": OCI + kind, "digest": f"sha256:{digest}", "size": len(content)}

    def json(self, kind, value):
        return self.blob(kind, json.dumps(value).encode())


def main():
    args = arguments()
    system, processor = "linux", PROCESSORS.get(platform.machine(), platform.machine())
    if args.platform:
        system, processor = args.platform.split("/")
    files = layer(args.files)
    layout = Layout(args.out)
    config = {
        "os": system,
        "architecture": processor,
        "config": {"Entrypoint": args.entrypoint, "Env": args.env, "WorkingDir": "/", "User": args.user},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(files).hexdigest()]},
    }
    manifest = layout.json("manifest.v1+json", {
        "schemaVersion": 2,
        "mediaType": OCI + "manifest.v1+json",
        "config": layout.json("config.v1+json", config),
        "layers": [layout.blob("layer.v1.tar+gzip", gzip.compress(files, mtime=0))],
    })
    manifest["platform"] = {"os": system, "architecture": processor}
    manifest["annotations"] = {"io.containerd.image.name": args.name}
    index = {"schemaVersion": 2, "mediaType": OCI + "index.v1+json", "manifests": [manifest]}
    layout.add("index.json", json.dumps(index).encode())
    layout.add("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    layout.tar.close()


main()
