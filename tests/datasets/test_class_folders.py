"""How folders of pictures become classes, whatever else lies in them."""

import os

import numpy as np
import pytest
from PIL import Image

from edge_tester.core.errors import DatasetError
from edge_tester.datasets.image_folder import ImageFolderDataset
from edge_tester.datasets.imagenet import ImageNetDataset


def save(path, level=100, format=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((6, 6), level, np.uint8)).save(path, format)
    return path


def tree(root, *names, each=2):
    for name in names:
        for number in range(each):
            save(root / name / f"{number}.png")
    return root


def prepared(root, cls=ImageFolderDataset, **options):
    dataset = cls(dataset_root=root, **options)
    dataset.prepare()
    return dataset


def told(dataset):
    return " ".join(dataset.remarks())


@pytest.mark.parametrize(
    ("names", "expected", "said"),
    [
        (["cat", "dog"], ["cat", "dog"], None),
        (["0", "1", "2", "10"], ["0", "1", "2", "10"], "2 2, 3 10; --class-numbers alphabetic"),
        (["00", "01", "10", "02", "03", "04", "05", "06", "07", "08", "09"], None, None),
        (["1", "2", "3"], ["1", "2", "3"], "0 1, 1 2, 2 3; --class-numbers folder"),
        (["3", "20"], ["3", "20"], "0 3, 1 20"),
        (["-1", "1", "0"], ["-1", "0", "1"], "0 -1, 1 0, 2 1"),
        (["0.5", "1.5", "10"], ["0.5", "1.5", "10"], "0 0.5, 1 1.5, 2 10"),
        (["class2", "class10"], ["class2", "class10"], "0 class2, 1 class10"),
        (["Zebra", "ant"], ["Zebra", "ant"], "0 Zebra, 1 ant"),
        (["a2", "b10"], ["a2", "b10"], None),
    ],
)
def test_numbers_sort_as_numbers_and_an_order_in_doubt_is_said(tmp_path, names, expected, said):
    dataset = prepared(tree(tmp_path, *names, each=1))
    assert (expected or sorted(names)) == dataset.class_names()
    assert [path.parent.name for path in dataset.files] == [
        dataset.class_names()[label] for label in dataset.labels()
    ]
    if said is None:
        assert [] == dataset.remarks()
    else:
        assert said in told(dataset)


def test_labels_follow_the_order_of_the_classes(tmp_path):
    dataset = prepared(tree(tmp_path, "0", "1", "2", "10", each=1))
    found = {
        path.parent.name: label for path, label in zip(dataset.files, dataset.labels(), strict=True)
    }
    assert {"0": 0, "1": 1, "2": 2, "10": 3} == found


def test_the_order_of_training_frameworks_can_be_chosen(tmp_path):
    dataset = prepared(tree(tmp_path, "0", "2", "10"), class_numbers="alphabetic")
    assert ["0", "10", "2"] == dataset.class_names()


def test_the_number_in_the_name_can_be_chosen(tmp_path):
    dataset = prepared(tree(tmp_path, "5", "2", each=1), class_numbers="folder")
    assert ["0", "1", "2", "3", "4", "5"] == dataset.class_names()
    assert {2: "2", 5: "5"} == {
        label: path.parent.name
        for path, label in zip(dataset.files, dataset.labels().tolist(), strict=True)
    }
    tree(tmp_path, "other")
    with pytest.raises(DatasetError, match="named by their numbers, got other"):
        prepared(tmp_path, class_numbers="folder")


def test_parts_of_a_data_set_are_recognised(tmp_path):
    tree(tmp_path / "train", "cat", "dog", each=6)
    tree(tmp_path / "val", "cat", "dog", each=2)
    (tmp_path / "README.txt").write_text("about")
    dataset = prepared(tmp_path)
    assert ["cat", "dog"] == dataset.class_names()
    measured = {str(dataset.files[i].relative_to(tmp_path)) for i in dataset.test_indices()}
    assert {"val/cat/0.png", "val/cat/1.png", "val/dog/0.png", "val/dog/1.png"} == measured
    assert 12 == len(dataset.split().train)
    assert f"pictures in {tmp_path / 'val'} are measured; those in train" in told(dataset)
    dataset.ensure_calibration(8)
    calibration = dataset.split().calibration
    assert {"train"} == {dataset.files[i].parent.parent.name for i in calibration}
    assert measured == {str(dataset.files[i].relative_to(tmp_path)) for i in dataset.test_indices()}


@pytest.mark.parametrize(
    ("parts", "measured"),
    [
        (("train", "val", "test"), "test"),
        (("Training", "Validation"), "Validation"),
        (("train_set", "test-images"), "test-images"),
        (("valid", "test"), "test"),
        (("train",), "train"),
    ],
)
def test_the_part_to_be_measured(tmp_path, parts, measured):
    for part in parts:
        tree(tmp_path / part, "a", "b")
    dataset = prepared(tmp_path)
    assert ["a", "b"] == dataset.class_names()
    assert {measured} == {dataset.files[i].parent.parent.name for i in dataset.test_indices()}
    assert str(tmp_path / measured) in told(dataset)


def test_pictures_without_a_class_beside_the_parts_are_said(tmp_path):
    for part in ("train/a", "val/a", "test"):
        tree(tmp_path, part, each=3)
    dataset = prepared(tmp_path)
    assert {"val"} == {dataset.files[i].parent.parent.name for i in dataset.test_indices()}
    assert f"3 pictures in {tmp_path / 'test'} have no class" in told(dataset)


def test_names_that_no_record_can_hold(tmp_path):
    tree(tmp_path, "a", "b")
    os.rename(tmp_path / "a" / "0.png", os.fsencode(tmp_path) + b"/a/caf\xe9.gone")
    os.symlink("nowhere", os.fsencode(tmp_path) + b"/a/caf\xe9.png")
    dataset = prepared(tmp_path)
    assert 4 == len(dataset)
    assert "a/caf?.png" in told(dataset)
    os.rename(tmp_path / "a", os.fsencode(tmp_path) + b"/caf\xe9")
    with pytest.raises(DatasetError, match=r"caf\? is a class whose name is not UTF-8"):
        prepared(tmp_path)


def test_a_folder_that_cannot_be_read_is_said(tmp_path, monkeypatch):
    tree(tmp_path, "a", "b", "b/closed")
    scan = os.scandir

    def refusing(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    dataset = prepared(tmp_path)
    assert 4 == len(dataset)
    assert "1 folder that cannot be read: Permission denied (b/closed)" in told(dataset)


def test_fractions_can_split_all_parts_together(tmp_path):
    for part in ("train", "val"):
        tree(tmp_path / part, "a", "b", each=5)
    dataset = prepared(tmp_path, test_fraction=0.5)
    assert 10 == len(dataset.test_indices())
    assert "split together by --test-fraction" in told(dataset)
    assert "are measured; those" not in told(dataset)


def test_a_class_that_looks_like_a_part_is_a_class(tmp_path):
    dataset = prepared(tree(tmp_path, "train", "bus"))
    assert ["bus", "train"] == dataset.class_names()


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        (("train/a", "val/a", "cat"), "look like parts of a data set, beside cat.*--dataset-root"),
        (("val/a", "valid/a"), "several for one part.*--dataset-root"),
        (("train/a", "train/b", "test"), "classes in train, but not in test.*--dataset-root"),
    ],
)
def test_folders_in_doubt_are_refused_with_the_cure(tmp_path, folders, said):
    tree(tmp_path, *folders)
    with pytest.raises(DatasetError, match=said):
        prepared(tmp_path)


@pytest.mark.parametrize("above", ["data", "data/more", "archive/train", "seg_train/seg_train"])
def test_folders_too_many_are_passed(tmp_path, above):
    tree(tmp_path / above, "a", "b")
    dataset = prepared(tmp_path)
    assert ["a", "b"] == dataset.class_names()
    assert 4 == len(dataset.test_indices())
    assert str(tmp_path / above) in told(dataset)


def test_one_class_is_said(tmp_path):
    dataset = prepared(tree(tmp_path, "cat/indoor", each=3))
    assert ["cat"] == dataset.class_names()
    assert "only one class, cat" in told(dataset)


def test_a_class_without_a_picture_keeps_its_number_and_is_said(tmp_path):
    tree(tmp_path, "a", "c")
    (tmp_path / "b").mkdir()
    dataset = prepared(tmp_path)
    assert [0, 0, 2, 2] == dataset.labels().tolist()
    assert "1 of 3 classes has no picture: b." in told(dataset)


def test_a_class_that_only_the_training_has_keeps_its_number(tmp_path):
    tree(tmp_path / "train", "a", "b", "c")
    tree(tmp_path / "val", "a", "c")
    dataset = prepared(tmp_path)
    assert [0, 0, 2, 2] == dataset.labels()[dataset.test_indices()].tolist()
    assert f"no picture in {tmp_path / 'val'}: b." in told(dataset)


def test_what_tools_leave_behind_is_no_sample(tmp_path):
    tree(tmp_path, "a", "b")
    for name in (
        ".ipynb_checkpoints/0-checkpoint.png",
        "a/.ipynb_checkpoints/0-checkpoint.png",
        "b/deep/.hidden/0.png",
        "__MACOSX/a/0.png",
        "@eaDir/a.png",
        "a/@eaDir/0.png",
        "a/__MACOSX/1.png",
        "$RECYCLE.BIN/1.png",
    ):
        save(tmp_path / name)
    for name in ("a/._0.png", "a/Thumbs.db", "desktop.ini", ".DS_Store", "b/.DS_Store"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7")
    dataset = prepared(tmp_path)
    assert (["a", "b"], 4) == (dataset.class_names(), len(dataset))
    assert [] == dataset.remarks()


def test_files_that_are_left_out_are_counted_and_said(tmp_path):
    tree(tmp_path, "a", "b")
    (tmp_path / "a" / "notes.txt").write_text("about")
    (tmp_path / "a" / "film.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    (tmp_path / "b" / "gone.png").symlink_to("nowhere.png")
    save(tmp_path / "loose.png")
    dataset = prepared(tmp_path)
    assert 4 == len(dataset)
    remark = told(dataset)
    assert "4 files were left out" in remark
    for said in ("1 no picture (.txt) (a/notes.txt)", "(.mp4)", "1 dead link (b/gone.png)"):
        assert said in remark
    assert "1 beside the folders of classes (loose.png)" in remark


def test_a_file_without_permission_is_left_out_and_said(tmp_path, monkeypatch):
    tree(tmp_path, "a", "b")
    # Everything is readable for root, who may well run this.
    closed = tmp_path / "a" / "0.png"
    monkeypatch.setattr(os, "access", lambda path, mode: path != closed)
    dataset = prepared(tmp_path)
    assert 3 == len(dataset)
    assert "1 not readable for want of permission (a/0.png)" in told(dataset)


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("0.jfif", "JPEG"),
        ("0.jpe", "JPEG"),
        ("0.pgm", "PPM"),
        ("0.JP2", "JPEG2000"),
        ("0", "PNG"),
        ("0.bin", "PNG"),
        ("0.png.bak", "PNG"),
        ("0.tga", "TGA"),
        ("0.png", "BMP"),
    ],
)
def test_pictures_are_recognised_by_name_or_content(tmp_path, name, format):
    tree(tmp_path, "b")
    save(tmp_path / "a" / name, 77, format)
    dataset = prepared(tmp_path)
    assert 3 == len(dataset)
    assert abs(dataset.load([0]).inputs[0] - 77).max() <= 1


def test_folders_that_are_links_are_followed_but_not_in_circles(tmp_path):
    tree(tmp_path / "elsewhere", "x")
    tree(tmp_path / "root", "b")
    (tmp_path / "root" / "a").symlink_to(tmp_path / "elsewhere" / "x")
    (tmp_path / "root" / "b" / "back").symlink_to(tmp_path / "root")
    dataset = prepared(tmp_path / "root")
    assert [0, 0, 1, 1] == dataset.labels().tolist()
    assert "link to a folder that it lies in (b/back)" in told(dataset)


def test_descriptions_beside_the_classes_are_no_class(tmp_path):
    tree(tmp_path, "b", "c")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "all.xml").write_text("<a/>")
    dataset = prepared(tmp_path)
    assert [0, 0, 1, 1] == dataset.labels().tolist()
    assert "annotations/all.xml" in told(dataset)


def test_a_folder_of_files_that_nobody_can_read_is_refused(tmp_path):
    tree(tmp_path, "b", "c")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "0.heic").write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(DatasetError, match="a has 1 files, but no picture.*0.heic.*no class"):
        prepared(tmp_path)


def test_pictures_without_classes_are_measured_without_truth(tmp_path):
    for number in range(5):
        save(tmp_path / f"{number}.png", number)
    dataset = prepared(tmp_path, limit=3)
    assert ("none", [], None) == (dataset.task, dataset.class_names(), dataset.labels())
    samples = dataset.load([4])
    assert samples.truth is None
    assert 4 == samples.inputs[0].max()
    assert 3 == len(dataset.test_indices())
    assert "nothing is known of the right answers" in told(dataset)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"<html>404</html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer"),
        (b"no picture", "is no picture that Pillow can read"),
    ],
)
def test_a_broken_picture_is_named_before_the_work(tmp_path, content, said):
    tree(tmp_path, "a", "b", each=20)
    (tmp_path / "b" / "17.png").write_bytes(content)
    with pytest.raises(DatasetError, match=f"1 of 40 images are broken.*b/17.png: {said}"):
        prepared(tmp_path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".gif"])
def test_a_picture_that_was_cut_off_is_named_before_the_work(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    path = tree(tmp_path, "a", "b") / "a" / f"cut{suffix}"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(DatasetError, match=f"1 of 5 images are broken.*cut{suffix}"):
        prepared(tmp_path)


def test_bytes_behind_a_whole_picture_do_no_harm(tmp_path):
    path = tree(tmp_path, "a", "b") / "a" / "0.jpg"
    Image.fromarray(np.full((8, 8, 3), 50, np.uint8)).save(path)
    path.write_bytes(path.read_bytes() + b"\0" * 500)
    assert 5 == len(prepared(tmp_path))


def test_a_limit_is_of_all_classes(tmp_path):
    dataset = prepared(tree(tmp_path, "a", "b", "c", each=10), limit=6)
    assert [2, 2, 2] == np.bincount(dataset.labels()[dataset.test_indices()]).tolist()


def test_imagenet_knows_parts_too(tmp_path):
    for part, each in (("train", 5), ("val", 2)):
        tree(tmp_path / part, "n01440764", "n01443537", each=each)
    dataset = prepared(tmp_path, ImageNetDataset, balanced_subset=2)
    assert [0, 1] == dataset.labels()[dataset.test_indices()].tolist()
    assert 10 == len(dataset.split().train)
    assert "The 2 synsets are numbered 0 to 1" in told(dataset)
    with pytest.raises(DatasetError, match="balanced_subset must be at most 4"):
        prepared(tmp_path, ImageNetDataset, balanced_subset=5)
