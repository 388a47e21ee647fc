"""The tasks of the simulated desk, by name: above all tasks, which stand above their experts and scenes."""

from sop_envs.tasks.box_close import BoxClose
from sop_envs.tasks.cloth_fold import ClothFold
from sop_envs.tasks.cloth_quarter import ClothQuarter
from sop_envs.tasks.cooler import Cooler
from sop_envs.tasks.correct import Correct
from sop_envs.tasks.flat_shelf import FlatShelf
from sop_envs.tasks.freezer import Freezer
from sop_envs.tasks.task import Task

TASKS: dict[str, Task] = {
    task.name: task
    for task in (FlatShelf(), Correct(), Cooler(), Freezer(), BoxClose(), ClothFold(), ClothQuarter())
}
