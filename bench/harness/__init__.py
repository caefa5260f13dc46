"""The benchmarks' common ground: contestants on free ports in a folder of their own, load, statistics, report. A section is a module
with `run(arguments, setup) -> data` and `render(data) -> Markdown`; `__main__.py` lists them."""
