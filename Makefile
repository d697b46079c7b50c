# Each target sets up .venv by itself when it is missing or older than the package's declaration.
PYTHON ?= python3
READY := .venv/.ready

.PHONY: demo test browser lint bench clean
.DELETE_ON_ERROR:

# The main job: train, prune, fine-tune, report. Repeating it replaces the last one's result.
demo: $(READY)
	.venv/bin/tfrecall prune --output runs/demo --overwrite

test: $(READY) browser
	.venv/bin/python -m pytest

# The tests of the HTML pages want a browser, and skip without one: Playwright only drives it, and brings none.
browser:
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && grep -qs '^ID=debian$$' /etc/os-release && \
		apt-get -qq update && \
		DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends chromium fonts-dejavu; } \
		>/dev/null 2>&1 || true

lint: $(READY)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

bench: $(READY)
	.venv/bin/python -m benchmarks.selection
	.venv/bin/python -m benchmarks.masked_step
	.venv/bin/python -m benchmarks.backbone

# pip first: the one that comes with Python 3.10 searches for an hour for versions that fit together.
$(READY): setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "tfrecall needs Python 3.10 or newer: make PYTHON=/path/to/python3"; exit 1; }
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --upgrade pip
	.venv/bin/python -m pip install --quiet --editable '.[test]'
	touch $@

clean:
	rm -rf .venv runs
