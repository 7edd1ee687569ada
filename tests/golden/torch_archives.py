"""Small files of torch.save in the forms in which embeddings are shared, and one that would run a command.

    python torch_archives.py FOLDER

Tried with torch 2.11."""
import os
import sys

import torch

folder = sys.argv[1]
rows = torch.arange(24, dtype=torch.float32).reshape(3, 8) / 16


def save(name, content):
    torch.save(content, os.path.join(folder, name))


class Command:
    def __reduce__(self):
        return os.system, ("echo this must never run",)


save("diffusers.bin", {"<bird>": rows})
save("old_diffusers.bin", {"<bird>": rows[1]})  # a view into other numbers: offset 8
save("half_transposed.bin", {"<bird>": rows.t().contiguous().half().t()})
save("webui.pt", {"string_to_token": {"*": 265}, "string_to_param": {"*": torch.nn.Parameter(rows)}, "name": "bird", "step": 1999,
                  "sd_checkpoint": None, "sd_checkpoint_name": "v1-5"})
save("many.bin", {"<bird>": rows, "<cat>": rows})
save("command.bin", {"<bird>": Command()})
torch.save({"<bird>": rows}, os.path.join(folder, "before_1_6.bin"), _use_new_zipfile_serialization=False)
