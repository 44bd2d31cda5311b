# make help tells the targets. Needs Python 3.11 to 3.13 and make; everything else goes into .venv.
#   make demo TORCH_INDEX=URL   takes torch from that index too: CPU wheels are 4 GB smaller
#   make test PYTHON=python3.12 takes that Python
#   make demo BUNDLE=DIR        installs from the wheels of `make bundle` alone, without a network
PYTHON ?= python3
VENV ?= .venv
TORCH_INDEX ?=
BUNDLE ?=
TO ?= out/bundle
BIN := $(VENV)/bin
MADE := $(VENV)/made

.PHONY: help demo test bench lab lint audit notebooks docs course bundle
.DEFAULT_GOAL := help

help:
	@echo 'make demo       attribute the bundled samples, write out/report.html'
	@echo 'make test       run every test, notebooks included'
	@echo 'make bench      measure speed and memory into data/reference/bench; takes a quiet half hour'
	@echo 'make lab        open the notebooks in JupyterLab'
	@echo 'make lint       ruff, mypy, the import contract and circles'
	@echo 'make audit      look the pinned versions up among known vulnerabilities; needs a network'
	@echo 'make notebooks  run every notebook and keep its outputs in it'
	@echo 'make docs       build the documentation into out/docs/html, offline'
	@echo 'make course     build what students get into out/handout, what lecturers get into out/course'
	@echo 'make bundle     write every wheel into out/bundle, for a classroom without a network'

demo: $(MADE)
	$(BIN)/workbench attribute data/samples --report out/report.html
	@echo
	@echo 'Open out/report.html in a browser. Next: make lab, and notebooks/00_start_here.ipynb.'

# Two at a time, shared out by tests/conftest.py; then what has a budget on the clock, alone.
test: $(MADE)
	$(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder -m 'not alone'
	$(BIN)/python -m pytest -m alone tests/benchmarks

bench: $(MADE)
	$(BIN)/python -m tests.benchmarks.bench --out data/reference/bench

lab: $(MADE)
	$(BIN)/jupyter lab notebooks

lint: $(MADE)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy workbench
	$(BIN)/lint-imports
	$(BIN)/python docs/architecture.py

# In an environment of its own, as what it brings is not ours. Strict: a version that the advisory
# service does not know fails, where pip-audit alone would pass over it.
audit:
	$(PYTHON) -m venv out/audit
	out/audit/bin/python -m pip install --quiet 'pip-audit>=2.9,<3'
	out/audit/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

notebooks: $(MADE)
	$(BIN)/python notebooks/run.py

docs: $(MADE)
	$(BIN)/python docs/build.py

course: $(MADE)
	$(BIN)/python notebooks/exercises/build.py out/course

bundle: $(MADE)
	$(BIN)/python -m pip wheel --wheel-dir '$(TO)' --constraint constraints.txt '.[dev]' $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
	rm -f '$(TO)'/attribution_workbench-*.whl
	cp notebooks/exercises/BUNDLE.md '$(TO)/README.md'
	$(BIN)/python -c 'import platform as p; print("Python", p.python_version(), p.system(), p.machine())' >> '$(TO)/MADE_ON.txt'
	@echo
	@echo 'Copy $(TO) and this checkout (of a course: out/handout) to a stick. On each laptop: make demo BUNDLE=DIR. See $(TO)/README.md.'

# Made once; again only when what it is made from has changed.
$(MADE): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; (3, 11) <= v < (3, 14) or sys.exit("This needs Python 3.11, 3.12 or 3.13; $(PYTHON) is %d.%d. Name another one: make PYTHON=python3.12" % v[:2])'
	@echo 'Making $(VENV): several minutes the first time, most of it torch.'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.[dev]' $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) $(if $(BUNDLE),--no-index --find-links '$(BUNDLE)')
	@touch $@
