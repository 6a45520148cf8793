"""Points of other programs: each known by its mark, read where its coordinates are certain,
else refused.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import SimpleITK as sitk

from tenter.cli.main import main
from tenter.errors import DataError
from tenter.formats import points

ELASTIX = "point\n2\n1 2 3\n-4.5 5e0 6\n"
CONTROL = "1 2 3\n-4.5 5 6\ninfo\nnumpoints 2\nuseRealRAS {}\n"
TAG = "MNI Tag Point File\nVolumes = {};\n%made by register\n\nPoints =\n{};\n"


def freeview(space: str) -> str:
    coordinates = [dict(zip("xyz", xyz, strict=True)) for xyz in ((1, 2, 3), (-4.5, 5, 6))]
    listed = [{"coordinates": item, "legacy_stat": 1} for item in coordinates]
    return json.dumps({"data_type": "fs_pointset", "points": listed, "vox2ras": space})


# Each file holds (1, 2, 3) and (-4.5, 5, 6) in its own space; in LPS the signs of x and y change.
RAS = [(1.0, 2.0, 3.0), (-4.5, 5.0, 6.0)]
LPS = [(-1.0, -2.0, 3.0), (4.5, -5.0, 6.0)]
READ = {
    "ANTs": ("a.csv", "x,y,z,t\n1,2,3,0\n-4.5,5,6,0\n", LPS, "12"),
    "ANTs with labels": ("a.csv", "x,y,z,t,label\n1,2,3,0,7\n-4.5,5,6,0,9\n", LPS, "79"),
    "ANTs with comments": (
        "a.csv",
        "x,y,z,t,label,comment\n1,2,3,0,7,NA\n-4.5,5,6,0,9,NA\n",
        LPS,
        "79",
    ),
    "ANTs, quoted": ("a.csv", '"x","y","z","t","label"\n1,2,3,0,7\n-4.5,5,6,0,9\n', LPS, "79"),
    "ANTs, capitals": ("a.csv", "X,Y,Z,T,Label\n1,2,3,0,7\n-4.5,5,6,0,9\n", LPS, "79"),
    "a table that says its space": (
        "a.csv",
        "x,y,z,t,label,space\n1,2,3,0,7,RAS\n-4.5,5,6,0,9,RAS\n",
        RAS,
        "79",
    ),
    "elastix": ("a.txt", ELASTIX, LPS, "12"),
    "elastix, .pts": ("a.pts", ELASTIX, LPS, "12"),
    "elastix, CRLF": ("a.txt", ELASTIX.replace("\n", "\r\n"), LPS, "12"),
    "FreeSurfer control points": ("control.dat", CONTROL.format(1), RAS, "12"),
    "freeview": ("a.json", freeview("scanner_ras"), RAS, "12"),
    "3D Slicer's table": (
        "a.csv",
        "label,r,a,s,defined\nF-1,1,2,3,1\nF-2,-4.5,5,6,1\n",
        RAS,
        ["F-1", "F-2"],
    ),
    "3D Slicer's table in LPS": ("a.tsv", "label\tl\tp\ts\nF\t1\t2\t3\nG\t-4.5\t5\t6\n", LPS, "FG"),
    "3D Slicer's fcsv as csv": (
        "a.csv",
        (
            "# Markups fiducial file version = 4.10\n# CoordinateSystem = 0\n"
            "# columns = id,x,y,z,label\n"
            "1,1,2,3,F\n2,-4.5,5,6,G\n"
        ),
        RAS,
        "FG",
    ),
    "MNI": ("a.tag", TAG.format(1, ' 1 2 3 0 1 1 "a"\n -4.5 5 6 0 1 1 "b"'), RAS, "ab"),
    "MNI without labels": ("a.tag", TAG.format(1, " 1 2 3\n -4.5 5 6"), RAS, "12"),
}


@pytest.mark.parametrize("case", READ)
def test_a_list_of_another_program_is_read_in_its_space(case: str, tmp_path: Path) -> None:
    name, text, expected, names = READ[case]
    (tmp_path / name).write_bytes(text.encode())
    read = points.read_points(tmp_path / name)
    assert [point.xyz for point in read] == expected
    assert [point.name for point in read] == list(names)


POINT = "Point\t0\t; InputIndex = [ 1 2 3 ]\t; InputPoint = [ 1 2 3 ]\t; OutputPoint = [ 1 2 3 ]\n"
REFUSED = {
    "elastix indices": ("a.txt", "index\n1\n1 2 3\n", "voxel indices .elastix.*affine"),
    "elastix, wrong number": ("a.txt", "point\n3\n1 2 3\n", "states 3 points but holds 1"),
    "elastix, short row": ("a.txt", "point\n1\n1 2\n", r"a\.txt:3: has 2 cells, not three"),
    "transformix": (
        "outputpoints.txt",
        POINT,
        "before and after a transform .transformix.*line `point`",
    ),
    "surface RAS": ("control.dat", CONTROL.format(0), "surface RAS.*freeview as scanner RAS"),
    "unsaid RAS": ("control.dat", "1 2 3\ninfo\nnumpoints 1\n", "surface RAS"),
    "freeview in tkreg": (
        "a.json",
        freeview("tkreg"),
        "vox2ras: is not in scanner RAS .FreeSurfer",
    ),
    "label of FreeSurfer": (
        "a.label",
        "#!ascii label , from subject x\n1\n0 1 2 3 0\n",
        "label file of FreeSurfer",
    ),
    "labels of ITK-SNAP": (
        "a.txt",
        "#####\n# ITK-SnAP Label Description File\n",
        "ITK-SNAP, which holds no points",
    ),
    "annotations of ITK-SNAP": (
        "a.annot",
        '<?xml version="1.0" ?>\n<registry/>',
        "is XML .an annotation of ITK-SNAP",
    ),
    "VTK": ("a.vtk", "# vtk DataFile Version 3.0\n", "is a VTK file, which does not say"),
    "two volumes of MNI": (
        "a.tag",
        TAG.format(2, " 1 2 3 4 5 6"),
        "points of two volumes .MNI tag file",
    ),
    "short row of MNI": (
        "a.tag",
        TAG.format(1, " 1 2"),
        r"a\.tag:6: has 2 numbers, neither 3 nor 6",
    ),
    "Learn2Reg": ("a.csv", "1,2,3\n4,5,6\n", "has no header.*Learn2Reg.*converted to mm"),
    "Learn2Reg, pairs": ("a.csv", "1,2,3,4,5,6\n", "has no header"),
    "DIR-Lab": ("a.txt", "1\t2\t3\n4\t5\t6\n", "has no header.*DIR-Lab"),
    "bare table with names": ("a.csv", "apex,1,2,3\n", "has no header"),
    "voxels": ("a.csv", "label,i,j,k\na,1,2,3\n", "voxel indices .columns i, j, k"),
    "ANTs, several times": ("a.csv", "x,y,z,t\n1,2,3,0\n1,2,3,1\n", "a.csv:t: holds several times"),
    "ANTs, equal labels": ("a.csv", "x,y,z,t,label\n1,2,3,0,1\n1,2,3,0,1\n", "stands in row 2 too"),
    "t of another table": (
        "a.csv",
        "label,x,y,z,t\na,1,2,3,0\n",
        "1:t: is a column of ANTs.*add the column space",
    ),
    "fcsv in voxels": (
        "a.fcsv",
        "# CoordinateSystem = 2\n# columns = id,x,y,z,label\n1,1,2,3,a\n",
        "is in voxels .IJK",
    ),
    "old fcsv": (
        "a.fcsv",
        "# Fiducial List file a\n# columns = label,x,y,z,sel,vis\na,1,2,3,1,1\n",
        "does not say whether",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_list_whose_space_is_uncertain_is_refused_once(case: str, tmp_path: Path) -> None:
    name, text, expected = REFUSED[case]
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=expected) as raised:
        points.read_points(tmp_path / name)
    assert len(raised.value.faults) == 1


@pytest.mark.parametrize(
    "case", ["ANTs", "elastix", "MNI", "freeview", "FreeSurfer control points"]
)
def test_the_command_maps_them_as_simpleitk(case: str, tmp_path: Path) -> None:
    name, text, expected, _ = READ[case]
    (tmp_path / name).write_text(text)
    shift = sitk.Euler3DTransform((1.0, 2.0, 3.0), 0.1, 0.2, 0.3, (4.0, 5.0, 6.0))
    sitk.WriteTransform(shift, str(tmp_path / "t.tfm"))
    paths = [f"--{key}={tmp_path / value}" for key, value in
        (("transform", "t.tfm"), ("input", name), ("output", "out.tsv"))]  # fmt: skip
    assert main(["warp", *paths]) == 0
    for start, end in zip(expected, points.read_points(tmp_path / "out.tsv"), strict=True):
        x, y, z = shift.TransformPoint((-start[0], -start[1], start[2]))
        assert end.xyz == pytest.approx((-x, -y, z), abs=1e-5)


@pytest.mark.parametrize("name", ["points", "points.pointset", "outputs.xyz", "a.mps", "a.nii"])
def test_a_file_of_points_may_have_any_name_if_the_user_says_so(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(ELASTIX)
    sitk.WriteTransform(sitk.TranslationTransform(3, (1.0, 0.0, 0.0)), str(tmp_path / "t.tfm"))
    paths = [
        f"--{key}={tmp_path / value}"
        for key, value in (("transform", "t.tfm"), ("input", name), ("output", "out.tsv"))
    ]
    assert main(["warp", *paths, "--kind", "points"]) == 0
    assert points.read_points(tmp_path / "out.tsv")[0].xyz == (-2.0, -2.0, 3.0)
