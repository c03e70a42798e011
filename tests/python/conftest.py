"""The suite tests a device: without one it fails, rather than test the reference against itself."""

import os

os.environ["CLATTN_REQUIRE_DEVICE"] = "1"
