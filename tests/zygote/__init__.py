"""dbt that tests need not import again: processes that start as copies of one that has it.

Importing dbt takes 1.4 s of the 2.5 s of a small run, and tests start hundreds. On Linux the process
that pytest is starts one zygote (`server`), which imports dbt. Where a test, or a dbtorch that a test
has started, starts dbt with pytest's own interpreter, the zygote makes that process (`client`):
`clone(2)` with ``CLONE_PARENT``, so that it is a child of who wanted it, with the id that is answered,
and takes the place that `execve(2)` would have made: session, files, folder, environment, signals,
command line, also in ``/proc``. Signals, kills, exit statuses, groups and orphans are real.

What dbt works out of its own code in every process is in the zygote as well (`warm`), and so is what
jinja makes of dbt's own macros (`templates`): that takes longer than a small command itself. A copy
that has come to its end and holds nothing that must be closed does not take apart what it got.

A dbtorch is a copy as well, of one that has imported dbtorch, too, and has a zygote of its own beside
it, a child as young as itself, which it asks. Where its project names an interpreter with another dbt,
the zygote of that one makes it, so that its dbts are copies; it is executed then, by `supervisor`.
So is a script of another orchestrator that starts runs, which says so (`client.BESIDE`).
Nothing in dbtorch knows of it, and a dbt that is a copy has nothing of dbtorch.

Anything that a copy might do otherwise starts as ever: another interpreter, options or variables that
count while Python starts or dbt is imported, a folder with modules that would have been imported
instead of what was, what a shell starts. So does everything with ``DBTORCH_TEST_ZYGOTE=0``, where
this is in doubt.
"""
