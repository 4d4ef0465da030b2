.PHONY: demo test check

demo:  ## install into .venv and run the sample project
	@sh .ci/demo

test:  ## all checks and tests, in .venv; ARGS="-k resume tests/acceptance" for some of the tests alone
	@sh .ci/test $(ARGS)

check:  ## what takes two minutes or so: linters, types, contracts, and quick unit tests that start nothing
	@sh .ci/check
