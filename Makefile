# `make run` starts healthivr on a bare machine, `make test` tests it: Python 3.11 or newer and make are enough.
# docs/adr/0002-embedded-services.md says how. PYTHON=… names another Python, ARGS="…" goes to the command.
PYTHON ?= python3
EMBEDDED = .venv/bin/python -m healthivr.embedded

.PHONY: run test quality demo bench checklist install install-dev clean

run: install ## everything on this machine, until Ctrl-C
	@$(EMBEDDED) run

test: install-dev ## all tests: make test ARGS="patients -k import"
	@$(EMBEDDED) test -- $(ARGS)

quality: install-dev ## every check
	@$(EMBEDDED) quality

demo: install ## a demonstration in the database of `make run`
	@$(EMBEDDED) demo

bench: install-dev ## the benchmarks, with a database of their own
	@$(EMBEDDED) bench -- $(ARGS)

checklist: install-dev ## which requirements no test proves
	@$(EMBEDDED) with-servers -- python manage.py checklist $(ARGS)

install:
	@$(PYTHON) -m healthivr.embedded.install

install-dev:
	@$(PYTHON) -m healthivr.embedded.install --dev

clean: ## what was installed and made; never the data in .state
	rm -rf .venv node_modules staticfiles .pytest_cache .mypy_cache .ruff_cache .coverage
