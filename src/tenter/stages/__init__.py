"""The steps of the workflow, one file each: named paths and settings in, named paths out."""
