# Everything runs from here, in an environment of the project's own (.venv). CI runs the same targets.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
RUN    := $(BIN)/python

# Tests start many interpreters, each of which would compile all that it imports.
export PYTHONDONTWRITEBYTECODE :=

# Tests run in three processes, also on two cores: many of them wait, and for processes of their own.
ABREAST := --numprocesses 3 --dist worksteal

.PHONY: demo workshop-check test kernels check docs claims attacks soak bench bench-fl bench-he bench-psi bench-joint lab panel screenshots format clean

# The stamp is newer than pyproject.toml and the built panel when everything that they ask for is installed.
$(VENV)/installed: pyproject.toml extensions/privsdk-panel/built/sources.json
	$(PYTHON) -c 'import sys; sys.exit("privsdk needs CPython 3.11 to 3.13; say which with PYTHON=python3.11" if not (3, 11) <= sys.version_info[:2] <= (3, 13) else 0)'
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV): about a minute the first time."
	@$(RUN) scripts/install.py --editable '.[dev]'
	touch $@

demo: $(VENV)/installed           ## a joint analysis of real flights by four parties
	$(RUN) -m privsdk demo

workshop-check: $(VENV)/installed ## whether this machine is ready for a workshop; offline
	$(RUN) -m privsdk check

test: $(VENV)/installed           ## the whole test suite, notebooks included; `make docs` shows their outputs
	scripts/chromium.sh
	scripts/postgresql.sh || true # its tests say why they are skipped
	$(RUN) -m pytest $(ABREAST)

check: $(VENV)/installed          ## style, types, structure, documents
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/nbstripout --verify notebooks/*.ipynb
	$(RUN) scripts/panel.py --check

docs: $(VENV)/installed           ## the documentation site, in site/; any warning fails it
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --fresh-env -c docs -d build/doctrees . site
	@echo "Open site/index.html."

kernels: $(VENV)/installed        ## what depends on floating arithmetic, with kernels of other machines, too
	$(RUN) -m pytest --claims $(ABREAST) tests/test_kernels.py

claims: $(VENV)/installed         ## one line for each promise: claim, cases tried, passed
	$(RUN) -m pytest -m claim --claims $(ABREAST)

attacks: $(VENV)/installed        ## one line for each attack: what it gained undefended, what it gains, and the bound
	$(RUN) -m pytest -m attack --claims $(ABREAST)

soak: $(VENV)/installed           ## the same promises with the long counts
	PRIVSDK_SOAK=1 $(RUN) -m pytest -m claim --claims $(ABREAST)

bench: $(VENV)/installed          ## how long previews, the differencing guard and aggregates of 5 million rows take
	$(RUN) benchmarks/preview.py
	$(RUN) benchmarks/guard.py
	$(RUN) benchmarks/guard_refusals.py
	$(RUN) benchmarks/aggregates.py

bench-fl: $(VENV)/installed       ## federated learning beside a NumPy loop, PyTorch, fluke, pfl and Flower, which it installs
	$(RUN) benchmarks/fl.py

bench-he: $(VENV)/installed       ## encrypted columns beside raw SEAL, TenSEAL and other libraries, which it installs
	$(RUN) benchmarks/he.py

bench-psi: $(VENV)/installed      ## private joins beside a join in the clear, SecretFlow SPU and OpenMined PSI, which it installs
	$(RUN) benchmarks/psi.py

bench-joint: $(VENV)/installed    ## products between two parties in shares, by lattices and with a dealer, beside the same in the clear
	$(RUN) benchmarks/joint.py

lab: $(VENV)/installed            ## JupyterLab with the tutorials and the panel; needs no network
	$(BIN)/jupyter labextension disable --level=sys_prefix "@jupyterlab/apputils-extension:announcements" 2>/dev/null
	$(BIN)/jupyter lab notebooks --LabApp.default_url=/lab/tree/00_quickstart.ipynb $(LAB_OPTIONS)

panel: $(VENV)/installed          ## build the JupyterLab panel anew, after a change of it; the one target that needs Node
	$(RUN) scripts/panel.py
	$(MAKE) $(VENV)/installed

screenshots: $(VENV)/installed    ## the pictures of docs/images, of JupyterLab as it is tested
	scripts/chromium.sh
	$(RUN) -m pytest --claims tests/lab/test_accessible.py --screenshots

format: $(VENV)/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build site jupyter_execute .mypy_cache .ruff_cache .pytest_cache .hypothesis
