# `make app` starts the app, `make test` runs the tests; both set everything up first. CI calls the other targets too.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# versions with hashes that the tests ran with; `make LOCKED=no …` takes the newest that pyproject.toml allows
LOCKED ?= yes
# half of the time the tests wait for a browser or a process; a file's tests share what they prepare
TWO_AT_A_TIME := -n 2 --dist loadfile --max-worker-restart 0

.PHONY: app test quick lint texts types imports javascript audit lock wheel clean

app: $(VENV)/app.stamp
	$(BIN)/streamlit run streamlit_app.py

test: $(VENV)/dev.stamp
	$(BIN)/python -m pytest $(TWO_AT_A_TIME)

# the tests that take seconds, for each commit
quick: $(VENV)/dev.stamp
	$(BIN)/python -m pytest -m quick tests

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# the catalogue of all texts that users read; a test fails where it is not the newest
texts: $(VENV)/dev.stamp
	$(BIN)/pybabel -q extract -F pyproject.toml -k t -k tn:1,2 -k mark --add-location=file --sort-by-file --omit-header \
		--width 120 -o unet/locale/unet.pot .

types: $(VENV)/dev.stamp
	$(BIN)/pyright --pythonpath $(BIN)/python

# which package may import which: see [tool.importlinter] in pyproject.toml
imports: $(VENV)/dev.stamp
	$(BIN)/lint-imports

# types (JSDoc) and unit tests of the viewer in the browser; needs Node.js 20 and npm
javascript: node_modules/.package-lock.json
	npx tsc -p .
	node --test tests/javascript/*.test.mjs

node_modules/.package-lock.json: package-lock.json
	npm ci --no-audit --no-fund
	touch $@

# known holes in the locked versions; asks a public database
audit:
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python -m pip install -q pip-audit
	.venv-audit/bin/pip-audit --require-hashes --disable-pip -r requirements.lock
	.venv-audit/bin/pip-audit --require-hashes --disable-pip -r requirements-dev.lock

# the newest versions that pyproject.toml allows, for every system and Python; what is locked stays: delete it before
LOCK := uv pip compile pyproject.toml --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --quiet
lock: $(VENV)/dev.stamp
	$(BIN)/python -m pip install -q uv
	$(BIN)/$(LOCK) --extra app -o requirements.lock
	$(BIN)/$(LOCK) --extra dev -c requirements.lock -o requirements-dev.lock

wheel: $(VENV)/dev.stamp
	$(BIN)/hatchling build -t wheel

$(VENV)/python.stamp:
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed: make PYTHON=python3.12')"
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/app.stamp: $(VENV)/python.stamp pyproject.toml requirements.lock
ifeq ($(LOCKED),yes)
	$(BIN)/python -m pip install -q --require-hashes -r requirements.lock
	$(BIN)/python -m pip install -q --no-deps -e .
else
	$(BIN)/python -m pip install -q -e .[app]
endif
	touch $@

$(VENV)/dev.stamp: $(VENV)/python.stamp pyproject.toml requirements-dev.lock
ifeq ($(LOCKED),yes)
	$(BIN)/python -m pip install -q --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install -q --no-deps -e .
else
	$(BIN)/python -m pip install -q -e .[dev]
endif
	touch $@

clean:
	rm -rf $(VENV) .venv-audit node_modules
