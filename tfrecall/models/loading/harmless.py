"""The names that a model file may use without ``--unsafe``: what they stand for computes, and does nothing else.

Every name was reviewed: none of these reads or writes files, holds code, or takes a function that the file could choose
freely. A layer of a later Keras is not in the list until someone has looked at it; ``--custom keras.layers:Name`` allows it.
"""

from __future__ import annotations


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _by_place(table: dict[str, str]) -> dict[str, frozenset[str]]:
    return {place: _names(text) for place, text in table.items()}


#: layers and models of Keras 3 and tf_keras, with the older names that files use
LAYERS = _names(
    """
    Activation ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D
    AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add AddLoss AddMetric AdditiveAttention
    AlphaDropout Attention AugMix AutoContrast Average AveragePooling1D AveragePooling2D AveragePooling3D
    AvgPool1D AvgPool2D AvgPool3D BatchNormalization BatchNormalizationV1 BatchNormalizationV2 Bidirectional
    CategoryEncoding CenterCrop Concatenate ContrastLimitedAdaptiveHistogramEqualization Conv1D Conv1DTranspose
    Conv2D Conv2DTranspose Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D Convolution1D
    Convolution1DTranspose Convolution2D Convolution2DTranspose Convolution3D Convolution3DTranspose Cropping1D
    Cropping2D Cropping3D CuDNNGRU CuDNNLSTM CustomScaleLayer CutMix Dense DepthwiseConv1D DepthwiseConv2D
    Discretization Dot Dropout ELU EinsumDense Embedding Equalization Flatten Functional GRU GRUCell GRUCellV1
    GRUCellV2 GRUV1 GRUV2 GaussianDropout GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D
    GlobalAveragePooling3D GlobalAvgPool1D GlobalAvgPool2D GlobalAvgPool3D GlobalMaxPool1D GlobalMaxPool2D
    GlobalMaxPool3D GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization
    GroupQueryAttention HashedCrossing Hashing Identity InputLayer InputSpec IntegerLookup LSTM LSTMCell
    LSTMCellV1 LSTMCellV2 LSTMV1 LSTMV2 LayerNormalization LayerScale LeakyReLU LocallyConnected1D
    LocallyConnected2D Masking MaxNumBoundingBoxes MaxPool1D MaxPool2D MaxPool3D MaxPooling1D MaxPooling2D
    MaxPooling3D Maximum MelSpectrogram Minimum MixUp Model MultiHeadAttention Multiply Normalization PReLU
    Permute Pipeline RMSNormalization RNN RandAugment RandomBrightness RandomColorDegeneration RandomColorJitter
    RandomContrast RandomCrop RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur RandomGrayscale
    RandomHeight RandomHue RandomInvert RandomPerspective RandomPosterization RandomRotation RandomSaturation
    RandomSharpness RandomShear RandomTranslation RandomWidth RandomZoom ReLU RepeatVector Rescaling Reshape
    Resizing ReversibleEmbedding STFTSpectrogram SeparableConv1D SeparableConv2D SeparableConvolution1D
    SeparableConvolution2D Sequential SimpleRNN SimpleRNNCell Softmax Solarization SpatialDropout1D
    SpatialDropout2D SpatialDropout3D SpectralNormalization StackedRNNCells StochasticDepth StringLookup Subtract
    SyncBatchNormalization TextVectorization ThresholdedReLU TimeDistributed UnitNormalization UpSampling1D
    UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
    """
)
#: layers that an application of Keras defines for itself, and its module
APPLICATION_LAYERS = {"CustomScaleLayer": "inception_resnet_v2", "LayerScale": "convnext", "StochasticDepth": "convnext"}
INITIALIZERS = _names(
    """
    Constant ConstantV2 GlorotNormal GlorotNormalV2 GlorotUniform GlorotUniformV2 HeNormal HeNormalV2 HeUniform HeUniformV2
    Identity IdentityInitializer IdentityV2 LecunNormal LecunNormalV2 LecunUniform LecunUniformV2 Ones OnesV2 Orthogonal
    OrthogonalInitializer OrthogonalV2 RandomNormal RandomNormalV2 RandomUniform RandomUniformV2 STFT STFTInitializer
    TruncatedNormal TruncatedNormalV2 VarianceScaling VarianceScalingV2 Zeros ZerosV2 constant glorot_normal glorot_normalV2
    glorot_uniform glorot_uniformV2 he_normal he_normalV2 he_uniform he_uniformV2 identity lecun_normal lecun_normalV2
    lecun_uniform lecun_uniformV2 normal one ones orthogonal random_normal random_uniform stft truncated_normal uniform
    variance_scaling zero zeros
    """
)
REGULARIZERS = _names("L1 L1L2 L2 OrthogonalRegularizer l1 l1_l2 l1l2 l2 orthogonal_regularizer")
CONSTRAINTS = _names(
    """
    MaxNorm MinMaxNorm NonNeg RadialConstraint UnitNorm max_norm maxnorm min_max_norm non_neg nonneg radial_constraint
    unit_norm unitnorm
    """
)
POLICIES = _names(
    """
    AWQDTypePolicy DTypePolicy DTypePolicyMap FloatDTypePolicy GPTQDTypePolicy Int4DTypePolicy Policy QuantizedDTypePolicy
    QuantizedFloat8DTypePolicy
    """
)
QUANTIZERS = _names(
    """
    AWQConfig AbsMaxQuantizer Float8QuantizationConfig GPTQConfig Int4QuantizationConfig Int8QuantizationConfig
    QuantizationConfig
    """
)
#: functions
ACTIVATIONS = _names(
    """
    celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear log_sigmoid
    log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus sparse_sigmoid sparsemax
    squareplus swish tanh tanh_shrink threshold
    """
)
#: layers that tf_keras takes by name where an activation is meant
ACTIVATION_LAYERS = _names("ELU LeakyReLU PReLU ReLU Softmax ThresholdedReLU")
#: tfmot's classes in a model that was saved while it was pruned; tfrecall's own
TFMOT = _names("ConstantSparsity PolynomialDecay PruneLowMagnitude")
TFRECALL = _names("Cosine Iterative MaskedLayer Never OneShot Polynomial UndecayedL2")

#: what an op layer of tf_keras may call, by the name under which TensorFlow exports it
OPERATIONS = _by_place(
    {
        "": """
            abs add add_n argmax argmin argsort batch_to_space boolean_mask broadcast_to cast clip_by_norm clip_by_value
            concat convert_to_tensor cumsum divide einsum ensure_shape equal exp expand_dims eye fill floor gather
            gather_nd greater greater_equal identity less less_equal linspace logical_and logical_not logical_or matmul
            maximum meshgrid minimum multiply negative norm not_equal one_hot ones ones_like pad pow range rank reduce_all
            reduce_any reduce_logsumexp reduce_max reduce_mean reduce_min reduce_prod reduce_sum repeat reshape reverse
            roll round saturate_cast sequence_mask shape sigmoid sign size slice sort space_to_batch split sqrt square
            squeeze stack stop_gradient strided_slice subtract tanh tensordot tile transpose truediv unstack where zeros
            zeros_like
        """,
        "__operators__": """
            add eq getitem ne ragged_getitem
        """,
        "math": """
            abs accumulate_n acos acosh add add_n angle approx_max_k approx_min_k argmax argmin asin asinh atan atan2
            atanh bessel_i0 bessel_i0e bessel_i1 bessel_i1e betainc bincount ceil confusion_matrix conj cos cosh
            count_nonzero cumprod cumsum cumulative_logsumexp digamma divide divide_no_nan equal erf erfc erfcinv erfinv
            exp expm1 floor floordiv floormod greater greater_equal igamma igammac imag in_top_k invert_permutation
            is_finite is_inf is_nan is_non_decreasing is_strictly_increasing l2_normalize lbeta less less_equal lgamma log
            log1p log_sigmoid log_softmax logical_and logical_not logical_or logical_xor maximum minimum mod multiply
            multiply_no_nan ndtri negative nextafter not_equal polygamma polyval pow real reciprocal reciprocal_no_nan
            reduce_all reduce_any reduce_euclidean_norm reduce_logsumexp reduce_max reduce_mean reduce_min reduce_prod
            reduce_std reduce_sum reduce_variance rint round rsqrt scalar_mul segment_max segment_mean segment_min
            segment_prod segment_sum sigmoid sign sin sinh sobol_sample softmax softplus softsign sqrt square
            squared_difference subtract tan tanh top_k truediv unsorted_segment_max unsorted_segment_mean
            unsorted_segment_min unsorted_segment_prod unsorted_segment_sqrt_n unsorted_segment_sum xdivy xlog1py xlogy
            zero_fraction zeta
        """,
        "math.special": """
            bessel_i0 bessel_i0e bessel_i1 bessel_i1e bessel_j0 bessel_j1 bessel_k0 bessel_k0e bessel_k1 bessel_k1e
            bessel_y0 bessel_y1 dawsn expint fresnel_cos fresnel_sin spence
        """,
        "nn": """
            all_candidate_sampler approx_max_k approx_min_k atrous_conv2d atrous_conv2d_transpose avg_pool avg_pool1d
            avg_pool2d avg_pool3d batch_norm_with_global_normalization batch_normalization bias_add collapse_repeated
            compute_accidental_hits conv1d conv1d_transpose conv2d conv2d_transpose conv3d conv3d_transpose conv_transpose
            convolution crelu ctc_beam_search_decoder ctc_greedy_decoder ctc_loss ctc_unique_labels depth_to_space
            depthwise_conv2d dilation2d dropout elu embedding_lookup embedding_lookup_sparse erosion2d fractional_avg_pool
            fractional_max_pool gelu in_top_k isotonic_regression l2_loss l2_normalize leaky_relu
            learned_unigram_candidate_sampler local_response_normalization log_poisson_loss log_softmax lrn max_pool
            max_pool1d max_pool2d max_pool3d max_pool_with_argmax moments nce_loss normalize_moments pool relu relu6
            safe_embedding_lookup_sparse sampled_softmax_loss selu separable_conv2d sigmoid
            sigmoid_cross_entropy_with_logits silu softmax softmax_cross_entropy_with_logits softplus softsign
            space_to_batch space_to_depth sparse_softmax_cross_entropy_with_logits sufficient_statistics swish tanh top_k
            weighted_cross_entropy_with_logits weighted_moments zero_fraction
        """,
        "compat.v1.nn": """
            avg_pool_v2 ctc_beam_search_decoder_v2 ctc_loss_v2 depthwise_conv2d_native fused_batch_norm
            log_uniform_candidate_sampler max_pool_v2 quantized_avg_pool quantized_conv2d quantized_max_pool
            quantized_relu_x relu_layer softmax_cross_entropy_with_logits_v2 uniform_candidate_sampler xw_plus_b
        """,
        "nn.experimental": """
            general_dropout stateless_dropout
        """,
        "image": """
            adjust_brightness adjust_contrast adjust_gamma adjust_hue adjust_jpeg_quality adjust_saturation central_crop
            combined_non_max_suppression convert_image_dtype crop_and_resize crop_to_bounding_box decode_and_crop_jpeg
            decode_bmp decode_gif decode_image decode_jpeg decode_jxl decode_png decode_webp draw_bounding_boxes
            encode_jpeg encode_png extract_glimpse extract_jpeg_shape extract_patches flip_left_right flip_up_down
            generate_bounding_box_proposals grayscale_to_rgb hsv_to_rgb image_gradients is_jpeg non_max_suppression
            non_max_suppression_overlaps non_max_suppression_padded non_max_suppression_with_scores pad_to_bounding_box
            per_image_standardization psnr random_brightness random_contrast random_crop random_flip_left_right
            random_flip_up_down random_hue random_jpeg_quality random_saturation resize resize_with_crop_or_pad
            resize_with_pad rgb_to_grayscale rgb_to_hsv rgb_to_yiq rgb_to_yuv rot90 sample_distorted_bounding_box
            sobel_edges ssim ssim_multiscale stateless_random_brightness stateless_random_contrast stateless_random_crop
            stateless_random_flip_left_right stateless_random_flip_up_down stateless_random_hue
            stateless_random_jpeg_quality stateless_random_saturation stateless_sample_distorted_bounding_box
            total_variation transpose yiq_to_rgb yuv_to_rgb
        """,
        "compat.v1.image": """
            extract_image_patches resize_area resize_bicubic resize_bilinear resize_image_with_crop_or_pad
            resize_image_with_pad resize_images resize_nearest_neighbor transpose_image
        """,
        "linalg": """
            adjoint band_part banded_triangular_solve cholesky cholesky_solve cross det diag diag_part eig eigh
            eigh_tridiagonal eigvals eigvalsh einsum expm eye global_norm inv l2_normalize logdet logm lstsq lu
            lu_matrix_inverse lu_reconstruct lu_solve matmul matrix_rank matrix_transpose matvec norm normalize pinv qr
            set_diag slogdet solve sqrtm svd tensor_diag tensor_diag_part tensordot trace triangular_solve
            tridiagonal_matmul tridiagonal_solve
        """,
        "compat.v1.linalg": """
            transpose
        """,
        "signal": """
            dct fft fft2d fft3d fftnd fftshift frame hamming_window hann_window idct ifft ifft2d ifft3d ifftnd ifftshift
            inverse_mdct inverse_stft inverse_stft_window_fn irfft irfft2d irfft3d irfftnd kaiser_bessel_derived_window
            kaiser_window linear_to_mel_weight_matrix mdct mfccs_from_log_mel_spectrograms overlap_and_add rfft rfft2d
            rfft3d rfftnd stft vorbis_window
        """,
        "strings": """
            as_string bytes_split format join length lower ngrams reduce_join regex_full_match regex_replace split strip
            substr to_hash_bucket to_hash_bucket_fast to_hash_bucket_strong to_number unicode_decode
            unicode_decode_with_offsets unicode_encode unicode_script unicode_split unicode_split_with_offsets
            unicode_transcode unsorted_segment_join upper
        """,
    }
)
#: the operations of Keras 3 that may be in a graph, by their module in ``keras.src.ops``
KERAS_OPERATIONS = _by_place(
    {
        "core": """
            Cast ConvertToTensor SaturateCast Scatter ScatterUpdate Slice SliceUpdate StopGradient Unstack
        """,
        "einops": """
            Rearrange
        """,
        "image": """
            AffineTransform CropImages ElasticTransform ExtractPatches GaussianBlur HSVToRGB MapCoordinates PadImages
            PerspectiveTransform RGBToGrayscale RGBToHSV Resize SSIM ScaleAndTranslate SobelEdges
        """,
        "linalg": """
            Cholesky CholeskyInverse Det Eig Eigh Inv Lstsq LuFactor MatrixRank Norm Pinv Qr SVD Solve SolveTriangular
        """,
        "math": """
            CDist Erf Erfc Erfinv ExtractSequences FFT FFT2 IFFT2 IRFFT ISTFT InTopK Logdet Logsumexp RFFT Rsqrt STFT
            SegmentMax SegmentMin SegmentProd SegmentReduction SegmentSum TopK ViewAsComplex ViewAsReal
        """,
        "nn": """
            AdaptiveAveragePool AdaptiveMaxPool AveragePool BatchNorm BinaryCrossentropy CTCDecode CTCLoss
            CategoricalCrossentropy Celu Conv ConvTranspose DepthToSpace DepthwiseConv DotProductAttention Elu Fold Gelu
            Glu HardShrink HardSigmoid HardSilu HardTanh LayerNorm LeakyRelu LogSigmoid LogSoftmax MaxPool Moments
            MultiHot Normalize OneHot PSNR Polar RMSNorm Relu Relu6 Selu SeparableConv Sigmoid Silu SoftShrink Softmax
            Softplus Softsign SpaceToDepth SparseCategoricalCrossentropy SparsePlus SparseSigmoid Sparsemax Squareplus
            TanhShrink Threshold Unfold
        """,
        "numpy": """
            Abs Absolute Add All AllClose Amax Amin Angle Any Append Arange Arccos Arccosh Arcsin Arcsinh Arctan Arctan2
            Arctanh Argmax Argmin Argpartition Argsort Array ArraySplit Average Bincount BitwiseAnd BitwiseInvert
            BitwiseLeftShift BitwiseNot BitwiseOr BitwiseRightShift BitwiseXor BroadcastTo Cbrt Ceil Clip Concatenate Conj
            Conjugate Copy Corrcoef Correlate Cos Cosh CountNonzero Cross Cumprod Cumsum Deg2rad Diag Diagflat Diagonal
            Diff Digitize Divide DivideNoNan Dot Dsplit Dstack Einsum EmptyLike Equal Exp Exp2 ExpandDims Expm1 Fabs Flip
            Fliplr Flipud Floor FloorDivide Fmax Fmin Fmod Full FullLike Gcd Geomspace GetItem Greater GreaterEqual
            Heaviside Histogram Hsplit Hstack Hypot I0 Imag Inner IsIn Isclose Isfinite Isinf Isnan Isneginf Isposinf
            Isreal Kron Lcm Ldexp LeftShift Less LessEqual Linspace Log Log10 Log1p Log2 Logaddexp Logaddexp2 LogicalAnd
            LogicalNot LogicalOr LogicalXor Logspace Matmul Max Maximum Mean Median Meshgrid Min Minimum Mod Moveaxis
            Multiply NanToNum Nanargmax Nanargmin Nancumprod Nancumsum Nanmax Nanmean Nanmedian Nanmin Nanpercentile
            Nanprod Nanquantile Nanstd Nansum Nanvar Ndim Negative Nextafter Nonzero NotEqual OnesLike Outer Pad
            Percentile Power Prod Ptp Quantile Rad2deg Ravel Real Reciprocal Repeat Reshape RightShift Roll Rot90 Round
            SearchSorted Select Sign Signbit Sin Sinc Sinh Size Slogdet Sort Split Sqrt Square Squeeze Stack Std Subtract
            Sum Swapaxes Take TakeAlongAxis Tan Tanh Tensordot Tile Trace Transpose Trapezoid Tril Triu TrueDivide Trunc
            Unique UnravelIndex Vander Var Vdot View Vsplit Vstack Where ZerosLike
        """,
    }
)


_OPERATION_NAMES = {f"{place}.{name}" if place else name for place, names in OPERATIONS.items() for name in names}


def is_operation(name: str) -> bool:
    """Say whether an op layer of tf_keras may call a function of TensorFlow, such as ``math.multiply``."""
    return name in _OPERATION_NAMES or name.removeprefix("compat.v1.") in _OPERATION_NAMES
