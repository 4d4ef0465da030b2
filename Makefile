.PHONY: demo test

demo:  ## install into .venv and run the sample project
	@sh .ci/demo

test:  ## all checks and tests, in .venv
	@sh .ci/test
