"""The tasks of the simulated desk, a file each; `sop_envs.tasks.registry` has all of them by name.

Nothing is imported here: experts need the scenes that stand beside the tasks, and tasks need their experts.
"""
