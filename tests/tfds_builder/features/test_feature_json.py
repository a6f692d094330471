"""The features that a directory holds: no class that they name is imported, those that are there are taken."""

import json

import consumer_kit as kit
import pytest
import tensorflow_datasets as tfds

import tfds_builder

pytestmark = pytest.mark.once


MODULE = "open('evidence', 'w').close()\nimport tensorflow_datasets as tfds\nclass Evil(tfds.features.Tensor): pass\n"


def hostile_features(name):
    leaf = {"pythonClassName": name, "tensor": {"shape": {}, "dtype": "uint8", "encoding": "bytes"}}
    sequence = "tensorflow_datasets.core.features.sequence_feature.Sequence"
    top = {"pythonClassName": "tensorflow_datasets.core.features.features_dict.FeaturesDict"}
    legacy = {"type": name, "content": {"shape": [], "dtype": "uint8"}}
    inner = json.dumps({"feature": legacy, "length": None})
    yield {**top, "featuresDict": {"features": {"image": leaf, "label": leaf}}}
    yield {
        "python_class_name": top["pythonClassName"],
        "features_dict": {"features": {"image": {**leaf, "python_class_name": name}}},
    }
    yield {"type": top["pythonClassName"], "content": {"image": legacy, "label": legacy}}
    yield {**top, "featuresDict": {"features": {"image": {"pythonClassName": sequence, "jsonFeature": {"json": inner}}}}}
    yield {**top, "featuresDict": {"features": {"image": {"pythonClassName": sequence, "sequence": {"feature": leaf}}}}}
    yield {"type": top["pythonClassName"], "proto_cls": name, "content": {}}


def test_features_import_nothing(tmp_path, run_python):
    """Features that name a class of a module nobody imported, in any spelling TFDS reads, do not get it imported."""
    code = """
        import os, sys
        sys.path.insert(0, os.getcwd())
        from tfds_builder import ManifestError
        from tfds_builder.catalog.read import read_manifest
        from tfds_builder.features.feature_json import features_of
        for directory in sys.argv[1:]:
            try:
                features_of(read_manifest(directory))
            except ManifestError as error:
                print("refused", str(error).count("evil_module"))
        import tensorflow_datasets as tfds
        print(os.path.exists("evidence"), "evil_module" in sys.modules)
        features = read_manifest(sys.argv[1]).features["featuresDict"]["features"]["image"]
        try:
            tfds.features.FeatureConnector.from_json(features)
        finally:
            print(os.path.exists("evidence"))  # what TFDS alone would have done
    """
    (tmp_path / "evil_module.py").write_text(MODULE)
    places = []
    for number, features in enumerate(hostile_features("evil_module.Evil")):
        places.append(kit.copy_golden("pairs_hdf5", tmp_path / str(number)))
        kit.edit_manifest(places[-1], lambda content, features=features: content.update(features=features))
    lines = run_python(code, *places).stdout.splitlines()
    assert [line.split()[0] for line in lines[:-2]] == ["refused"] * len(places)
    assert lines[-2:] == ["False False", "True"]


def test_custom_feature_the_user_imported(tmp_path):
    """A class of the user's own is taken once the user has imported it."""

    class Own(tfds.features.Tensor):
        pass

    name = f"{Own.__module__}.{Own.__name__}"
    directory = kit.copy_golden("pairs_hdf5", tmp_path)

    def change(content):
        content["features"]["featuresDict"]["features"]["image"]["pythonClassName"] = name

    kit.edit_manifest(directory, change)
    assert type(tfds_builder.builder_from_directory(directory).info.features["image"]) is Own


@pytest.mark.once
def test_sound_without_tensorflow(tmp_path, run_python):
    """TFDS makes its `Audio` of TensorFlow: where that is not installed, the error says so, and what installs it."""
    code = """
        import importlib.abc, sys

        class Missing(importlib.abc.MetaPathFinder):
            def find_spec(self, name, path, target=None):
                if name.partition(".")[0] == "tensorflow":
                    raise ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow")

        sys.meta_path.insert(0, Missing())
        from tfds_builder import MissingPackageError
        from tfds_builder.features.feature_json import parse_features
        name = "tensorflow_datasets.core.features"
        sound = {"pythonClassName": f"{name}.audio_feature.Audio", "audio": {"dtype": "int16"}}
        sound["audio"] |= {"shape": {"dimensions": ["-1"]}, "sampleRate": "8000", "encoding": "NONE"}
        whole = {"pythonClassName": f"{name}.features_dict.FeaturesDict", "featuresDict": {"features": {"sound": sound}}}
        try:
            parse_features(whole, {}, "here")
        except MissingPackageError as error:
            print(error)
    """
    told = run_python(code).stdout
    assert "here have Audio among them, which TFDS makes of TensorFlow" in told
    assert 'pip install ".[tensorflow-cpu]"' in told
