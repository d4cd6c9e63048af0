"""Refreshes from a depot with python-tuf and downloads one target.

usage: tuf_client.py URL ROOT STATE TARGET
Prints JSON: the versions seen, the target's facts, and the SHA-256 of what was downloaded.
"""

import hashlib
import json
import os
import sys

from tuf.ngclient import Updater

url, root, state, target = sys.argv[1:]
os.makedirs(state, exist_ok=True)
with open(root, "rb") as file:
    bootstrap = file.read()
updater = Updater(
    metadata_dir=state,
    metadata_base_url=url + "metadata/",
    target_dir=state,
    target_base_url=url + "targets/",
    bootstrap=bootstrap,
)
updater.refresh()
info = updater.get_targetinfo(target)
if info is None:
    sys.exit(f"the depot has no {target}")
path = updater.download_target(info, os.path.join(state, "downloaded"))
with open(path, "rb") as file:
    content = file.read()
trusted = updater._trusted_set
print(json.dumps({
    "versions": {role: getattr(trusted, role).version for role in ("root", "timestamp", "snapshot")},
    "length": info.length,
    "custom": info.custom,
    "sha256": hashlib.sha256(content).hexdigest(),
}))
