-- A run file as it was written when its schema was still one text of SQL (format 2).
BEGIN TRANSACTION;
CREATE TABLE cell (
    implementation TEXT NOT NULL, operator TEXT NOT NULL, dims INTEGER NOT NULL,
    dtype TEXT NOT NULL, planned INTEGER NOT NULL, reached INTEGER NOT NULL,
    compared INTEGER NOT NULL, unsupported INTEGER NOT NULL, violating INTEGER NOT NULL,
    elements INTEGER NOT NULL, nonzero INTEGER NOT NULL, worst REAL, worst_case TEXT,
    seconds REAL NOT NULL, verdict TEXT NOT NULL, known INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (implementation, operator, dims, dtype)
) WITHOUT ROWID;
INSERT INTO "cell" VALUES('im2col','conv',1,'float32',466,466,466,0,0,680579,359,5.56222029914794746652e-01,'conv1d:float32:x=3,31,10:w=31,1,3:stride=2:padding=0/2:groups=31:wide@3',1.43297001000007639959e-01,'conforms',0);
INSERT INTO "cell" VALUES('torch','conv',1,'float32',466,466,466,0,0,680579,359,5.31077483954227935747e-01,'conv1d:float32:x=3,31,10:w=31,1,3:stride=2:padding=0/2:groups=31:wide@3',8.06409081999987620292e-01,'known difference',1);
CREATE TABLE convention (
    implementation TEXT NOT NULL, convention TEXT NOT NULL, requirement TEXT NOT NULL,
    operator TEXT NOT NULL, dims INTEGER NOT NULL, dtype TEXT NOT NULL, declared TEXT NOT NULL,
    followed TEXT NOT NULL, agrees INTEGER NOT NULL, probes INTEGER NOT NULL, "case" TEXT NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (implementation, convention, operator, dims, dtype)
) WITHOUT ROWID;
INSERT INTO "convention" VALUES('torch','accuracy','DECLARE-2','conv',1,'float32','float32','float32',1,3,'conv1d:float32:x=2,64,9:w=5,64,3:normal@0','');
INSERT INTO "convention" VALUES('torch','byte_order','LAYOUT-7','conv',1,'float32','either','compute',1,4,'conv1d:float32:x=2,1,9:w=5,1,3:memory=byteswapped:integers@0','');
INSERT INTO "convention" VALUES('torch','mixed_dtypes','REJECT-20','conv',1,'float32','reject','reject',1,9,'conv1d:float32:x=2,4,4:w=6,4,3:bias:invalid=w-wider:integers@0','');
INSERT INTO "convention" VALUES('torch','subnormal','SPECIAL-7','conv',1,'bfloat16','gradual','flush',0,4,'conv1d:bfloat16:x=2,1,9:w=5,1,3:subnormal@0','subnormal: gradual is declared, flush followed');
INSERT INTO "convention" VALUES('torch','subnormal','SPECIAL-7','conv',1,'float32','gradual','gradual',1,4,'conv1d:float32:x=2,1,9:w=5,1,3:subnormal@0','');
INSERT INTO "convention" VALUES('torch','zero_channels','REJECT-21','conv',1,'float32','reject','neither',0,2,'conv1d:float32:x=2,4,4:w=6,4,3:bias:invalid=no-channels:integers@0','zero_channels: reject is declared, neither followed');
CREATE TABLE implementation (
    name TEXT PRIMARY KEY, family TEXT NOT NULL, version TEXT NOT NULL, layout TEXT NOT NULL,
    accumulate TEXT, multiply TEXT, error TEXT NOT NULL, verdict TEXT NOT NULL, note TEXT NOT NULL,
    settings TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
INSERT INTO "implementation" VALUES('im2col','numpy','0.1.0','NCHW',NULL,NULL,'componentwise','conforms','','');
INSERT INTO "implementation" VALUES('torch','torch','2.13.0+cpu','NCHW',NULL,NULL,'componentwise','violates','','oneDNN and NNPACK where PyTorch chooses them, as by default');
CREATE TABLE known (
    implementation TEXT NOT NULL, requirement TEXT NOT NULL, operator TEXT NOT NULL,
    "case" TEXT NOT NULL, covers TEXT NOT NULL, reason TEXT NOT NULL, link TEXT NOT NULL,
    versions TEXT NOT NULL, status TEXT NOT NULL, count INTEGER NOT NULL, message TEXT NOT NULL,
    script TEXT NOT NULL, engine_script TEXT NOT NULL, replay TEXT NOT NULL
);
INSERT INTO "known" VALUES('torch','REJECT-14','max_pool','max_pool2d:float32:x=1,1,1,1:kernel=1,1:invalid=stride-too-short:integers@0','operator max_pool or avg_pool or max_pool_grad or avg_pool_grad, invalid kernel-too-short or kernel-single or kernel-empty or stride-too-short or stride-single or stride-empty or padding-too-short or padding-single or padding-empty or output_padding-too-short or output_padding-single or output_padding-empty or dilation-too-short or dilation-single or dilation-empty','a tuple of one number stands for all axes, and an empty one for the default','','==2.13','known difference',23,'accepted what is invalid (stride=(1,): stride without one entry a spatial axis) and returned a ndarray of shape (1, 1, 1, 1)','import numpy as np
from conformance.registry import get
max_pool = get(''torch'').functions[''max_pool'']

# max_pool2d:float32:x=1,1,1,1:kernel=1,1:invalid=stride-too-short:integers@0
x = np.array([[[[-70]]]], np.float32)
# invalid: stride=(1,): stride without one entry a spatial axis
got = max_pool(x, kernel=(1, 1), stride=(1,), padding=((0, 0), (0, 0)), dilation=(1, 1), ceil_mode=False)  # must raise
print("accepted:", got)
','import numpy as np
import torch, torch.nn.functional as F
# torch 2.13.0+cpu: max_pool2d:float32:x=1,1,1,1:kernel=1,1:invalid=stride-too-short:integers@0
x = np.array([[[[-70]]]], np.float32)
got = F.max_pool2d(torch.from_numpy(x), (1, 1), stride=(1,)).numpy()
print("returned", got, "where an exception is due: stride=(1,): stride without one entry a spatial axis")
','convformance replay ''max_pool2d:float32:x=1,1,1,1:kernel=1,1:invalid=stride-too-short:integers@0'' torch');
CREATE TABLE layer (
    implementation TEXT NOT NULL, layer TEXT NOT NULL, operator TEXT NOT NULL,
    dims INTEGER NOT NULL, "case" TEXT NOT NULL, share REAL NOT NULL, status TEXT NOT NULL,
    message TEXT NOT NULL, seconds REAL NOT NULL, PRIMARY KEY (implementation, layer)
) WITHOUT ROWID;
INSERT INTO "layer" VALUES('torch','max_pool1d:float32:x=2,16,512:kernel=2:padding=1/1:dilation=2:ceil_mode:integers@3','max_pool',1,'max_pool1d:float32:x=2,16,512:kernel=2:padding=1/1:dilation=2:ceil_mode:integers@3',1.0,'conforms','',1.01395699999784483225e-03);
INSERT INTO "layer" VALUES('torch','max_pool1d:float32:x=3,16,338:kernel=5:stride=3:padding=1/1:ceil_mode:integers@9','max_pool',1,'max_pool1d:float32:x=3,16,338:kernel=5:stride=3:padding=1/1:ceil_mode:integers@9',1.0,'conforms','',9.86194999995859689079e-04);
INSERT INTO "layer" VALUES('torch','max_pool1d:float32:x=3,64,118:kernel=5:padding=1/1:dilation=2:ceil_mode:integers@70','max_pool',1,'max_pool1d:float32:x=3,64,118:kernel=5:padding=1/1:dilation=2:ceil_mode:integers@70',1.0,'conforms','',1.15975399998546890856e-03);
INSERT INTO "layer" VALUES('torch','max_pool2d:float32:x=2,16,28,512:kernel=5,3:padding=2/2,1/1:dilation=1,2:ceil_mode:integers@3','max_pool',2,'max_pool2d:float32:x=2,16,28,512:kernel=5,3:padding=2/2,1/1:dilation=1,2:ceil_mode:integers@3',1.0,'conforms','',4.08581679999713287543e-02);
INSERT INTO "layer" VALUES('torch','max_pool2d:float32:x=3,16,338,27:kernel=3,2:stride=3,1:padding=0/0,1/1:ceil_mode:integers@9','max_pool',2,'max_pool2d:float32:x=3,16,338,27:kernel=3,2:stride=3,1:padding=0/0,1/1:ceil_mode:integers@9',1.0,'conforms','',8.15137399999343870149e-03);
INSERT INTO "layer" VALUES('torch','max_pool2d:float32:x=3,64,120,114:kernel=5,2:stride=2,2:padding=1/1,0/0:dilation=2,1:ceil_mode:integers@70','max_pool',2,'max_pool2d:float32:x=3,64,120,114:kernel=5,2:stride=2,2:padding=1/1,0/0:dilation=2,1:ceil_mode:integers@70',1.0,'conforms','',2.26554722000003039283e-01);
INSERT INTO "layer" VALUES('torch','max_pool3d:float32:x=1,16,7,11,512:kernel=5,5,1:padding=2/2,2/2,0/0:dilation=1,2,1:ceil_mode:integers@3','max_pool',3,'max_pool3d:float32:x=1,16,7,11,512:kernel=5,5,1:padding=2/2,2/2,0/0:dilation=1,2,1:ceil_mode:integers@3',1.0,'conforms','',8.71802710000224578834e-02);
INSERT INTO "layer" VALUES('torch','max_pool3d:float32:x=3,16,116,84,8:kernel=3,3,2:stride=2,3,1:padding=0/0,1/1,0/0:ceil_mode:integers@9','max_pool',3,'max_pool3d:float32:x=3,16,116,84,8:kernel=3,3,2:stride=2,3,1:padding=0/0,1/1,0/0:ceil_mode:integers@9',1.0,'conforms','',2.04859081999984482536e-01);
INSERT INTO "layer" VALUES('torch','max_pool3d:float32:x=3,64,33,34,18:kernel=5,2,3:stride=2,2,2:padding=1/1,0/0,0/0:dilation=1,2,2:ceil_mode:integers@70','max_pool',3,'max_pool3d:float32:x=3,64,33,34,18:kernel=5,2,3:stride=2,2,2:padding=1/1,0/0,0/0:dilation=1,2,2:ceil_mode:integers@70',1.0,'conforms','',1.6352383899999267669e-01);
INSERT INTO "layer" VALUES('torch','resnet50/max_pool1','max_pool',2,'max_pool2d:float32:x=1,64,112,112:kernel=3,3:stride=2,2:padding=1/1,1/1:integers@0',1.0,'conforms','',1.69607849999806603591e-02);
CREATE TABLE pair (
    first TEXT NOT NULL, second TEXT NOT NULL, operator TEXT NOT NULL, cases INTEGER NOT NULL,
    elements INTEGER NOT NULL, identical INTEGER NOT NULL, largest REAL, largest_case TEXT,
    PRIMARY KEY (first, second, operator)
) WITHOUT ROWID;
INSERT INTO "pair" VALUES('im2col','torch','conv',2363,1870939,1839017,1.30301825421639083657e+00,'conv3d:float16:x=3,31,8,2,7:w=31,1,3,1,4:stride=2,2,1:padding=1/1,3/1,1/0:dilation=2,2,2:groups=31:wide@3');
CREATE TABLE run (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "run" VALUES('checks','["result", "purity", "repeat", "layout", "special", "reject", "declare", "integer", "relations", "process"]');
INSERT INTO "run" VALUES('command','"convformance run -i im2col -i torch"');
INSERT INTO "run" VALUES('dims','[1, 2, 3]');
INSERT INTO "run" VALUES('dtypes','["float32", "float64"]');
INSERT INTO "run" VALUES('examples','300');
INSERT INTO "run" VALUES('finished','"2026-11-29T15:08:13+00:00"');
INSERT INTO "run" VALUES('format','2');
INSERT INTO "run" VALUES('machine','{"cpu": "A CPU", "cores": 8, "platform": "Linux", "python": "3.11.7", "threads": {"openblas": 2}, "packages": {"numpy": "2.4.6", "torch": "2.13.0+cpu"}}');
INSERT INTO "run" VALUES('operators','["conv", "conv_transpose", "max_pool", "avg_pool", "conv_input_grad", "conv_weight_grad", "conv_bias_grad", "max_pool_grad", "avg_pool_grad"]');
INSERT INTO "run" VALUES('seconds','0.3527336860670194');
INSERT INTO "run" VALUES('seed','0');
INSERT INTO "run" VALUES('shapes','3');
INSERT INTO "run" VALUES('spec','{"source": "default", "digest": "8b40ad915f79322a"}');
INSERT INTO "run" VALUES('started','"2026-11-29T15:05:38+00:00"');
INSERT INTO "run" VALUES('suites','["edge"]');
INSERT INTO "run" VALUES('tier','"default"');
CREATE TABLE timing (
    implementation TEXT NOT NULL, layer TEXT NOT NULL, "case" TEXT NOT NULL, calls INTEGER NOT NULL,
    median REAL, lower REAL, upper REAL, ratio REAL, macs INTEGER NOT NULL, gflops REAL, peak REAL,
    threads INTEGER NOT NULL, verified TEXT NOT NULL,
    PRIMARY KEY (implementation, layer)
) WITHOUT ROWID;
INSERT INTO "timing" VALUES('im2col','dcgan/G4','conv_transpose2d:float32:x=1,128,16,16:w=128,64,4,4:stride=2,2:padding=1/1,1/1:integers@0',3,1.29686700006459432188e-03,1.26682750010331801604e-03,1.3310525000633788295e-03,1.0,33554432,5.17469131350072473205e+01,5.05486371166532055809e-01,1,'conforms');
CREATE TABLE unsupported (
    implementation TEXT NOT NULL, operator TEXT NOT NULL, reason TEXT NOT NULL,
    count INTEGER NOT NULL
);
INSERT INTO "unsupported" VALUES('torch','avg_pool_grad','"avg_pool3d_out_frame" not implemented for ''BFloat16''',41);
CREATE TABLE violation (
    implementation TEXT NOT NULL, operator TEXT NOT NULL, dims INTEGER NOT NULL,
    dtype TEXT NOT NULL, requirement TEXT NOT NULL, status TEXT NOT NULL, "case" TEXT NOT NULL,
    found TEXT NOT NULL, count INTEGER NOT NULL, message TEXT NOT NULL, script TEXT NOT NULL,
    replay TEXT NOT NULL, engine_script TEXT NOT NULL DEFAULT ''
);
INSERT INTO "violation" VALUES('torch','conv',1,'bfloat16','DECLARE-5','violates','conv1d:bfloat16:x=2,1,9:w=5,1,3:subnormal@0','conv1d:bfloat16:x=2,1,9:w=5,1,3:subnormal@0',1,'subnormal: gradual is declared, flush followed','import numpy as np
import ml_dtypes
from conformance.registry import get
conv = get(''torch'').functions[''conv'']

# conv1d:bfloat16:x=2,1,9:w=5,1,3:subnormal@0
x = np.array([[[-6.428484731059385e-40, -2.7550648847397363e-40, -9.183549615799121e-41, 4.5917748078995606e-40, 5.510129769479473e-40, 9.183549615799121e-41, 1.8367099231598242e-40, 9.183549615799121e-41, 3.6734198463196485e-40]], [[-5.510129769479473e-40, -2.7550648847397363e-40, -7.346839692639297e-40, -9.183549615799121e-41, -1.8367099231598242e-40, -8.265194654219209e-40, -4.5917748078995606e-40, -2.7550648847397363e-40, -9.183549615799121e-41]]], ml_dtypes.bfloat16)
w = np.array([[[-2, -8, 5]], [[-6, -4, 1]], [[8, -7, -1]], [[1, -5, -5]], [[-7, 4, 2]]], ml_dtypes.bfloat16)
bias = None
exact = np.array([[[3.03057137321371e-39, 3.581584350161657e-39, -7.346839692639297e-40, -4.867281296373534e-39, -9.183549615799121e-40, -1.1938614500538858e-39, 7.346839692639297e-40], [4.867281296373534e-39, 2.4795583962657627e-39, -7.346839692639297e-40, -4.867281296373534e-39, -3.489748854003666e-39, -1.1938614500538858e-39, -1.1020259538958945e-39], [-3.122406869371701e-39, -2.0203809154758067e-39, -4.4999393117415694e-39, -2.7550648847397363e-40, 3.581584350161657e-39, -6.428484731059385e-40, 4.5917748078995606e-40], [1.1938614500538858e-39, -2.112216411633798e-39, -5.142787784847508e-39, -2.7550648847397363e-39, -8.265194654219209e-40, -1.285696946211877e-39, -2.112216411633798e-39], [3.2142423655296924e-39, 2.4795583962657627e-39, 3.581584350161657e-39, -8.265194654219209e-40, -3.122406869371701e-39, 2.7550648847397363e-40, -1.8367099231598242e-40]], [[-3.6734198463196485e-40, 5.969307250269429e-39, 1.285696946211877e-39, -2.4795583962657627e-39, 4.683610304057552e-39, 3.948926334793622e-39, 2.663229388581745e-39], [3.6734198463196485e-39, 4.4999393117415694e-39, 4.5917748078995606e-39, 4.5917748078995606e-40, 3.948926334793622e-39, 6.520320227217376e-39, 3.76525534247764e-39], [-1.744874427001833e-39, 3.03057137321371e-39, -5.0509522886895166e-39, 1.3775324423698682e-39, 4.775445800215543e-39, -3.122406869371701e-39, -1.6530389308438418e-39], [4.4999393117415694e-39, 3.857090838635631e-39, 6.428484731059385e-40, 4.9591167925315254e-39, 6.244813738743402e-39, 2.8469003808977276e-39, 1.3775324423698682e-39], [1.285696946211877e-39, -1.1938614500538858e-39, 4.408103815583578e-39, -1.744874427001833e-39, -2.938735877055719e-39, 3.397913357845675e-39, 1.9285454193178154e-39]]], np.float64)
got = conv(x, w, bias, stride=(1,), padding=((0, 0),), dilation=(1,), groups=1)
print("got", got, "exact", exact, sep="\n")
with np.errstate(all=''ignore''):
    print("differs by", np.max(np.abs(np.asarray(got, np.float64) - exact), initial=0))
','convformance replay ''conv1d:bfloat16:x=2,1,9:w=5,1,3:subnormal@0'' torch','import numpy as np
import torch, torch.nn.functional as F
# torch 2.13.0+cpu: conv1d:bfloat16:x=2,1,9:w=5,1,3:subnormal@0
x = np.array([[[-6.428484731059385e-40, -2.7550648847397363e-40, -9.183549615799121e-41, 4.5917748078995606e-40, 5.510129769479473e-40, 9.183549615799121e-41, 1.8367099231598242e-40, 9.183549615799121e-41, 3.6734198463196485e-40]], [[-5.510129769479473e-40, -2.7550648847397363e-40, -7.346839692639297e-40, -9.183549615799121e-41, -1.8367099231598242e-40, -8.265194654219209e-40, -4.5917748078995606e-40, -2.7550648847397363e-40, -9.183549615799121e-41]]], np.float32)
w = np.array([[[-2, -8, 5]], [[-6, -4, 1]], [[8, -7, -1]], [[1, -5, -5]], [[-7, 4, 2]]], np.float32)
bias = None
got = F.conv1d(torch.from_numpy(x).bfloat16(), torch.from_numpy(w).bfloat16(), None, stride=(1,)).float().numpy()
exact = np.empty((2, 5, 7))
print("shape", got.shape, "due", exact.shape)
');
CREATE TABLE witness (
    implementation TEXT NOT NULL, requirement TEXT NOT NULL, operator TEXT NOT NULL,
    "case" TEXT NOT NULL, status TEXT NOT NULL, cited TEXT NOT NULL, message TEXT NOT NULL,
    engine_script TEXT NOT NULL,
    PRIMARY KEY (implementation, requirement, operator)
) WITHOUT ROWID;
INSERT INTO "witness" VALUES('im2col','REJECT-14','max_pool','max_pool2d:float32:x=1,1,1,1:kernel=1,1:invalid=stride-too-short:integers@0','conforms','','','');
INSERT INTO "witness" VALUES('torch','REJECT-14','max_pool','max_pool2d:float32:x=1,1,1,1:kernel=1,1:invalid=stride-too-short:integers@0','violates','REJECT-14','accepted what is invalid (stride=(1,): stride without one entry a spatial axis) and returned a ndarray of shape (1, 1, 1, 1)','import numpy as np
import torch, torch.nn.functional as F
# torch 2.13.0+cpu: max_pool2d:float32:x=1,1,1,1:kernel=1,1:invalid=stride-too-short:integers@0
x = np.array([[[[-70]]]], np.float32)
got = F.max_pool2d(torch.from_numpy(x), (1, 1), stride=(1,)).numpy()
print("returned", got, "where an exception is due: stride=(1,): stride without one entry a spatial axis")
');
COMMIT;
