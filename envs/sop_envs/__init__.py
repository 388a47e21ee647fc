"""The simulated desk and its tasks. Importing this registers each task with Gymnasium::

    import gymnasium
    import sop_envs

    env = gymnasium.make("sop/restock-flat-shelf-v0", station_seed=1)

No simulator is imported before an environment is made.
"""

import gymnasium

TASK_NAMES = (
    "restock/flat-shelf",
    "restock/correct",
    "restock/cooler",
    "restock/freezer",
    "box/close",
    "cloth/fold",
    "cloth/quarter",
)
"""The keys of `sop_envs.tasks.registry.TASKS`, which this does not import: that would bring in MuJoCo."""


def gymnasium_id(task: str) -> str:
    """The id of a task's environment: ``restock/flat-shelf`` is ``sop/restock-flat-shelf-v0``."""
    return f"sop/{task.replace('/', '-')}-v0"


for _name in TASK_NAMES:
    gymnasium.register(gymnasium_id(_name), "sop_envs.gymnasium_env:SopEnv", kwargs={"task": _name})
