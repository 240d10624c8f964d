"""The Blender side: imported by `worker`, in the virtual environment that has bpy, and by nothing else."""
