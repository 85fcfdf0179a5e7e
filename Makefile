# Two commands: `make app` starts the app, `make test` runs the tests. Both set everything up first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# half of the time the tests wait for a browser or a process; a file's tests share what they prepare
TWO_AT_A_TIME := -n 2 --dist loadfile --max-worker-restart 0

.PHONY: app test lint clean

app: $(VENV)/app.stamp
	$(BIN)/streamlit run streamlit_app.py

test: $(VENV)/test.stamp
	$(BIN)/python -m pytest $(TWO_AT_A_TIME)

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

$(VENV)/app.stamp: requirements.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed: make PYTHON=python3.12')"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -r requirements.txt
	touch $@

$(VENV)/test.stamp: $(VENV)/app.stamp requirements-dev.txt
	$(BIN)/python -m pip install -q -r requirements-dev.txt
	touch $@

clean:
	rm -rf $(VENV)
