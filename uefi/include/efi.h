/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * UEFI as far as kdwire needs it, in the spelling of the UEFI 2.10 and PI 1.8 specifications.
 * Functions that nothing here calls are kept as `void *` so that every table has its real layout.
 * x86-64, Windows calling convention (EFIAPI).
 */
#ifndef KDWIRE_UEFI_EFI_H
#define KDWIRE_UEFI_EFI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__) && !defined(_MSC_VER)
#define EFIAPI __attribute__((ms_abi))
#else
#define EFIAPI
#endif

typedef void VOID; /* the names that application headers written for EDK2 use */
typedef uint64_t UINT64;
typedef uint32_t UINT32;
typedef uint16_t UINT16;
typedef uint8_t UINT8;
typedef uint16_t CHAR16; /* UCS-2; L"" gives it on this target */
typedef uintptr_t UINTN;
typedef uint8_t BOOLEAN; /* one byte in every table */
typedef UINTN EFI_STATUS;
typedef void *EFI_HANDLE;
typedef void *EFI_EVENT;
typedef UINTN EFI_TPL;
typedef uint64_t EFI_PHYSICAL_ADDRESS;

typedef struct {
    uint32_t data1;
    uint16_t data2;
    uint16_t data3;
    uint8_t data4[8];
} EFI_GUID;

#define EFI_ERROR_BIT                     ((EFI_STATUS)1 << 63)
#define EFI_ERROR(status)                 (((status)&EFI_ERROR_BIT) != 0)
#define EFI_SUCCESS                       ((EFI_STATUS)0)
#define EFI_LOAD_ERROR                    (EFI_ERROR_BIT | 1)
#define EFI_INVALID_PARAMETER             (EFI_ERROR_BIT | 2)
#define EFI_UNSUPPORTED                   (EFI_ERROR_BIT | 3)
#define EFI_BUFFER_TOO_SMALL              (EFI_ERROR_BIT | 5)
#define EFI_NOT_READY                     (EFI_ERROR_BIT | 6)
#define EFI_DEVICE_ERROR                  (EFI_ERROR_BIT | 7)
#define EFI_OUT_OF_RESOURCES              (EFI_ERROR_BIT | 9)
#define EFI_NOT_FOUND                     (EFI_ERROR_BIT | 14)
#define EFI_ACCESS_DENIED                 (EFI_ERROR_BIT | 15)
#define EFI_TIMEOUT                       (EFI_ERROR_BIT | 18)
#define EFI_ALREADY_STARTED               (EFI_ERROR_BIT | 20)
#define EFI_ABORTED                       (EFI_ERROR_BIT | 21)

#define TPL_APPLICATION                   4
#define TPL_CALLBACK                      8
#define TPL_NOTIFY                        16
#define TPL_HIGH_LEVEL                    31

#define EVT_TIMER                         0x80000000u
#define EVT_NOTIFY_WAIT                   0x00000100u
#define EVT_NOTIFY_SIGNAL                 0x00000200u
#define EVT_SIGNAL_EXIT_BOOT_SERVICES     0x00000201u
#define EVT_SIGNAL_VIRTUAL_ADDRESS_CHANGE 0x60000202u

#define EFI_OPEN_PROTOCOL_GET_PROTOCOL    0x02u
#define EFI_OPEN_PROTOCOL_BY_DRIVER       0x10u
#define EFI_OPEN_PROTOCOL_EXCLUSIVE       0x20u

#define EFI_VARIABLE_NON_VOLATILE         0x1u
#define EFI_VARIABLE_BOOTSERVICE_ACCESS   0x2u
#define EFI_VARIABLE_RUNTIME_ACCESS       0x4u

typedef enum {
    EfiReservedMemoryType,
    EfiLoaderCode,
    EfiLoaderData,
    EfiBootServicesCode,
    EfiBootServicesData,
    EfiRuntimeServicesCode,
    EfiRuntimeServicesData,
    EfiConventionalMemory,
} EFI_MEMORY_TYPE;

typedef enum { AllocateAnyPages, AllocateMaxAddress, AllocateAddress } EFI_ALLOCATE_TYPE;
typedef enum { AllHandles, ByRegisterNotify, ByProtocol } EFI_LOCATE_SEARCH_TYPE;
typedef enum { TimerCancel, TimerPeriodic, TimerRelative } EFI_TIMER_DELAY;
typedef enum { EfiResetCold, EfiResetWarm, EfiResetShutdown } EFI_RESET_TYPE;

typedef struct {
    uint32_t Type;
    uint32_t Pad;
    EFI_PHYSICAL_ADDRESS PhysicalStart;
    uint64_t VirtualStart;
    uint64_t NumberOfPages;
    uint64_t Attribute;
} EFI_MEMORY_DESCRIPTOR;

typedef struct {
    uint64_t Signature;
    uint32_t Revision;
    uint32_t HeaderSize;
    uint32_t CRC32;
    uint32_t Reserved;
} EFI_TABLE_HEADER;

typedef struct {
    uint8_t Type;
    uint8_t SubType;
    uint8_t Length[2];
} EFI_DEVICE_PATH_PROTOCOL;

typedef struct {
    uint16_t ScanCode;
    CHAR16 UnicodeChar;
} EFI_INPUT_KEY;

typedef struct EFI_SIMPLE_TEXT_INPUT_PROTOCOL EFI_SIMPLE_TEXT_INPUT_PROTOCOL;
struct EFI_SIMPLE_TEXT_INPUT_PROTOCOL {
    EFI_STATUS(EFIAPI *Reset)(EFI_SIMPLE_TEXT_INPUT_PROTOCOL *, BOOLEAN);
    EFI_STATUS(EFIAPI *ReadKeyStroke)(EFI_SIMPLE_TEXT_INPUT_PROTOCOL *, EFI_INPUT_KEY *);
    EFI_EVENT WaitForKey;
};

typedef struct EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL;
struct EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL {
    EFI_STATUS(EFIAPI *Reset)(EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL *, BOOLEAN);
    EFI_STATUS(EFIAPI *OutputString)(EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL *, const CHAR16 *);
    void *TestString, *QueryMode, *SetMode, *SetAttribute, *ClearScreen, *SetCursorPosition;
    void *EnableCursor, *Mode;
};

typedef void(EFIAPI *EFI_EVENT_NOTIFY)(EFI_EVENT event, void *context);

typedef struct {
    EFI_TABLE_HEADER Hdr;
    EFI_TPL(EFIAPI *RaiseTPL)(EFI_TPL);
    void(EFIAPI *RestoreTPL)(EFI_TPL);
    EFI_STATUS(EFIAPI *AllocatePages)
    (EFI_ALLOCATE_TYPE, EFI_MEMORY_TYPE, UINTN pages, EFI_PHYSICAL_ADDRESS *);
    EFI_STATUS(EFIAPI *FreePages)(EFI_PHYSICAL_ADDRESS, UINTN pages);
    EFI_STATUS(EFIAPI *GetMemoryMap)
    (UINTN *size, EFI_MEMORY_DESCRIPTOR *, UINTN *key, UINTN *descriptor_size, uint32_t *version);
    EFI_STATUS(EFIAPI *AllocatePool)(EFI_MEMORY_TYPE, UINTN size, void **);
    EFI_STATUS(EFIAPI *FreePool)(void *);
    EFI_STATUS(EFIAPI *CreateEvent)
    (uint32_t type, EFI_TPL, EFI_EVENT_NOTIFY, void *context, EFI_EVENT *);
    EFI_STATUS(EFIAPI *SetTimer)(EFI_EVENT, EFI_TIMER_DELAY, uint64_t hundred_ns);
    EFI_STATUS(EFIAPI *WaitForEvent)(UINTN count, EFI_EVENT *, UINTN *index);
    EFI_STATUS(EFIAPI *SignalEvent)(EFI_EVENT);
    EFI_STATUS(EFIAPI *CloseEvent)(EFI_EVENT);
    EFI_STATUS(EFIAPI *CheckEvent)(EFI_EVENT);
    EFI_STATUS(EFIAPI *InstallProtocolInterface)(EFI_HANDLE *, const EFI_GUID *, int type, void *);
    EFI_STATUS(EFIAPI *ReinstallProtocolInterface)(EFI_HANDLE, const EFI_GUID *, void *, void *);
    EFI_STATUS(EFIAPI *UninstallProtocolInterface)(EFI_HANDLE, const EFI_GUID *, void *);
    EFI_STATUS(EFIAPI *HandleProtocol)(EFI_HANDLE, const EFI_GUID *, void **);
    void *Reserved;
    EFI_STATUS(EFIAPI *RegisterProtocolNotify)(const EFI_GUID *, EFI_EVENT, void **registration);
    EFI_STATUS(EFIAPI *LocateHandle)
    (EFI_LOCATE_SEARCH_TYPE, const EFI_GUID *, void *key, UINTN *size, EFI_HANDLE *);
    EFI_STATUS(EFIAPI *LocateDevicePath)
    (const EFI_GUID *, EFI_DEVICE_PATH_PROTOCOL **, EFI_HANDLE *);
    EFI_STATUS(EFIAPI *InstallConfigurationTable)(const EFI_GUID *, void *);
    EFI_STATUS(EFIAPI *LoadImage)
    (BOOLEAN boot_policy, EFI_HANDLE parent, EFI_DEVICE_PATH_PROTOCOL *, void *source, UINTN size,
     EFI_HANDLE *image);
    EFI_STATUS(EFIAPI *StartImage)(EFI_HANDLE, UINTN *exit_data_size, CHAR16 **exit_data);
    EFI_STATUS(EFIAPI *Exit)(EFI_HANDLE, EFI_STATUS, UINTN size, CHAR16 *data);
    EFI_STATUS(EFIAPI *UnloadImage)(EFI_HANDLE);
    EFI_STATUS(EFIAPI *ExitBootServices)(EFI_HANDLE image, UINTN map_key);
    EFI_STATUS(EFIAPI *GetNextMonotonicCount)(uint64_t *);
    EFI_STATUS(EFIAPI *Stall)(UINTN microseconds);
    EFI_STATUS(EFIAPI *SetWatchdogTimer)(UINTN seconds, uint64_t code, UINTN size, CHAR16 *data);
    EFI_STATUS(EFIAPI *ConnectController)
    (EFI_HANDLE, EFI_HANDLE *drivers, EFI_DEVICE_PATH_PROTOCOL *, BOOLEAN recursive);
    EFI_STATUS(EFIAPI *DisconnectController)(EFI_HANDLE, EFI_HANDLE driver, EFI_HANDLE child);
    EFI_STATUS(EFIAPI *OpenProtocol)
    (EFI_HANDLE, const EFI_GUID *, void **, EFI_HANDLE agent, EFI_HANDLE controller,
     uint32_t attributes);
    EFI_STATUS(EFIAPI *CloseProtocol)
    (EFI_HANDLE, const EFI_GUID *, EFI_HANDLE agent, EFI_HANDLE controller);
    void *OpenProtocolInformation;
    void *ProtocolsPerHandle;
    EFI_STATUS(EFIAPI *LocateHandleBuffer)
    (EFI_LOCATE_SEARCH_TYPE, const EFI_GUID *, void *key, UINTN *count, EFI_HANDLE **);
    EFI_STATUS(EFIAPI *LocateProtocol)(const EFI_GUID *, void *registration, void **);
    EFI_STATUS(EFIAPI *InstallMultipleProtocolInterfaces)(EFI_HANDLE *, ...);
    EFI_STATUS(EFIAPI *UninstallMultipleProtocolInterfaces)(EFI_HANDLE, ...);
    void *CalculateCrc32;
    void *CopyMem;
    void *SetMem;
    EFI_STATUS(EFIAPI *CreateEventEx)
    (uint32_t type, EFI_TPL, EFI_EVENT_NOTIFY, const void *context, const EFI_GUID *group,
     EFI_EVENT *);
} EFI_BOOT_SERVICES;

typedef struct {
    EFI_TABLE_HEADER Hdr;
    void *GetTime, *SetTime, *GetWakeupTime, *SetWakeupTime;
    EFI_STATUS(EFIAPI *SetVirtualAddressMap)
    (UINTN size, UINTN descriptor_size, uint32_t version, EFI_MEMORY_DESCRIPTOR *);
    EFI_STATUS(EFIAPI *ConvertPointer)(UINTN disposition, void **);
    EFI_STATUS(EFIAPI *GetVariable)
    (const CHAR16 *name, const EFI_GUID *, uint32_t *attributes, UINTN *size, void *);
    void *GetNextVariableName;
    EFI_STATUS(EFIAPI *SetVariable)
    (const CHAR16 *name, const EFI_GUID *, uint32_t attributes, UINTN size, const void *);
    void *GetNextHighMonotonicCount;
    void(EFIAPI *ResetSystem)(EFI_RESET_TYPE, EFI_STATUS, UINTN size, void *data);
} EFI_RUNTIME_SERVICES;

typedef struct {
    EFI_GUID VendorGuid;
    void *VendorTable;
} EFI_CONFIGURATION_TABLE;

typedef struct {
    EFI_TABLE_HEADER Hdr;
    CHAR16 *FirmwareVendor;
    uint32_t FirmwareRevision;
    EFI_HANDLE ConsoleInHandle;
    EFI_SIMPLE_TEXT_INPUT_PROTOCOL *ConIn;
    EFI_HANDLE ConsoleOutHandle;
    EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL *ConOut;
    EFI_HANDLE StandardErrorHandle;
    EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL *StdErr;
    EFI_RUNTIME_SERVICES *RuntimeServices;
    EFI_BOOT_SERVICES *BootServices;
    UINTN NumberOfTableEntries;
    EFI_CONFIGURATION_TABLE *ConfigurationTable;
} EFI_SYSTEM_TABLE;

typedef struct {
    uint32_t Revision;
    EFI_HANDLE ParentHandle;
    EFI_SYSTEM_TABLE *SystemTable;
    EFI_HANDLE DeviceHandle;
    EFI_DEVICE_PATH_PROTOCOL *FilePath;
    void *Reserved;
    uint32_t LoadOptionsSize;
    void *LoadOptions;
    void *ImageBase;
    uint64_t ImageSize;
    EFI_MEMORY_TYPE ImageCodeType;
    EFI_MEMORY_TYPE ImageDataType;
    EFI_STATUS(EFIAPI *Unload)(EFI_HANDLE);
} EFI_LOADED_IMAGE_PROTOCOL;

/* The debug image info table (UEFI 2.10, 18.4.3): every loaded image, without a service call. */
typedef struct {
    uint32_t ImageInfoType; /* 1: the only one */
    EFI_LOADED_IMAGE_PROTOCOL *LoadedImageProtocolInstance;
    EFI_HANDLE ImageHandle;
} EFI_DEBUG_IMAGE_INFO_NORMAL;

#define EFI_DEBUG_IMAGE_INFO_UPDATE_IN_PROGRESS 1u
#define EFI_DEBUG_IMAGE_INFO_TABLE_MODIFIED     2u

typedef struct {
    volatile uint32_t UpdateStatus;
    uint32_t TableSize;
    EFI_DEBUG_IMAGE_INFO_NORMAL **EfiDebugImageInfoTable;
} EFI_DEBUG_IMAGE_INFO_TABLE_HEADER;

/* PI: the first three functions of the firmware volume protocol are not needed here. */
typedef struct EFI_FIRMWARE_VOLUME2_PROTOCOL EFI_FIRMWARE_VOLUME2_PROTOCOL;
struct EFI_FIRMWARE_VOLUME2_PROTOCOL {
    void *GetVolumeAttributes, *SetVolumeAttributes, *ReadFile;
    EFI_STATUS(EFIAPI *ReadSection)
    (const EFI_FIRMWARE_VOLUME2_PROTOCOL *, const EFI_GUID *, uint8_t type, UINTN instance,
     void **buffer, UINTN *size, uint32_t *authentication);
};
#define EFI_SECTION_USER_INTERFACE 0x15

typedef void(EFIAPI *EFI_AP_PROCEDURE)(void *argument);
typedef struct EFI_MP_SERVICES_PROTOCOL EFI_MP_SERVICES_PROTOCOL;
struct EFI_MP_SERVICES_PROTOCOL {
    EFI_STATUS(EFIAPI *GetNumberOfProcessors)
    (EFI_MP_SERVICES_PROTOCOL *, UINTN *all, UINTN *enabled);
    void *GetProcessorInfo;
    EFI_STATUS(EFIAPI *StartupAllAPs)
    (EFI_MP_SERVICES_PROTOCOL *, EFI_AP_PROCEDURE, BOOLEAN single_thread, EFI_EVENT,
     UINTN timeout_us, void *argument, UINTN **failed);
    EFI_STATUS(EFIAPI *StartupThisAP)
    (EFI_MP_SERVICES_PROTOCOL *, EFI_AP_PROCEDURE, UINTN number, EFI_EVENT, UINTN timeout_us,
     void *argument, BOOLEAN *finished);
    void *SwitchBSP, *EnableDisableAP;
    EFI_STATUS(EFIAPI *WhoAmI)(EFI_MP_SERVICES_PROTOCOL *, UINTN *number);
};

/* Files, for loaders. */
typedef struct EFI_FILE_PROTOCOL EFI_FILE_PROTOCOL;
struct EFI_FILE_PROTOCOL {
    uint64_t Revision;
    EFI_STATUS(EFIAPI *Open)
    (EFI_FILE_PROTOCOL *, EFI_FILE_PROTOCOL **, const CHAR16 *, uint64_t mode, uint64_t attributes);
    EFI_STATUS(EFIAPI *Close)(EFI_FILE_PROTOCOL *);
    void *Delete;
    EFI_STATUS(EFIAPI *Read)(EFI_FILE_PROTOCOL *, UINTN *size, void *);
    EFI_STATUS(EFIAPI *Write)(EFI_FILE_PROTOCOL *, UINTN *size, void *);
    EFI_STATUS(EFIAPI *GetPosition)(EFI_FILE_PROTOCOL *, uint64_t *);
    EFI_STATUS(EFIAPI *SetPosition)(EFI_FILE_PROTOCOL *, uint64_t);
    EFI_STATUS(EFIAPI *GetInfo)(EFI_FILE_PROTOCOL *, const EFI_GUID *, UINTN *size, void *);
    void *SetInfo, *Flush;
};
#define EFI_FILE_MODE_READ 1u

typedef struct EFI_SIMPLE_FILE_SYSTEM_PROTOCOL EFI_SIMPLE_FILE_SYSTEM_PROTOCOL;
struct EFI_SIMPLE_FILE_SYSTEM_PROTOCOL {
    uint64_t Revision;
    EFI_STATUS(EFIAPI *OpenVolume)(EFI_SIMPLE_FILE_SYSTEM_PROTOCOL *, EFI_FILE_PROTOCOL **);
};

#define EFI_LOADED_IMAGE_PROTOCOL_GUID                                                             \
    {                                                                                              \
        0x5b1b31a1, 0x9562, 0x11d2,                                                                \
        {                                                                                          \
            0x8e, 0x3f, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b                                         \
        }                                                                                          \
    }
#define EFI_DEVICE_PATH_PROTOCOL_GUID                                                              \
    {                                                                                              \
        0x09576e91, 0x6d3f, 0x11d2,                                                                \
        {                                                                                          \
            0x8e, 0x39, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b                                         \
        }                                                                                          \
    }
#define EFI_SERIAL_IO_PROTOCOL_GUID                                                                \
    {                                                                                              \
        0xbb25cf6f, 0xf1d4, 0x11d2,                                                                \
        {                                                                                          \
            0x9a, 0x0c, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0xfd                                         \
        }                                                                                          \
    }
#define EFI_FIRMWARE_VOLUME2_PROTOCOL_GUID                                                         \
    {                                                                                              \
        0x220e73b6, 0x6bdb, 0x4413,                                                                \
        {                                                                                          \
            0x84, 0x05, 0xb9, 0x74, 0xb1, 0x08, 0x61, 0x9a                                         \
        }                                                                                          \
    }
#define EFI_MP_SERVICES_PROTOCOL_GUID                                                              \
    {                                                                                              \
        0x3fdda605, 0xa76e, 0x4f46,                                                                \
        {                                                                                          \
            0xad, 0x29, 0x12, 0xf4, 0x53, 0x1b, 0x3d, 0x08                                         \
        }                                                                                          \
    }
#define EFI_DEBUG_IMAGE_INFO_TABLE_GUID                                                            \
    {                                                                                              \
        0x49152e77, 0x1ada, 0x4764,                                                                \
        {                                                                                          \
            0xb7, 0xa2, 0x7a, 0xfe, 0xfe, 0xd9, 0x5e, 0x8b                                         \
        }                                                                                          \
    }
#define EFI_ACPI_20_TABLE_GUID                                                                     \
    {                                                                                              \
        0x8868e871, 0xe4f1, 0x11d3,                                                                \
        {                                                                                          \
            0xbc, 0x22, 0x00, 0x80, 0xc7, 0x3c, 0x88, 0x81                                         \
        }                                                                                          \
    }
#define EFI_GLOBAL_VARIABLE_GUID                                                                   \
    {                                                                                              \
        0x8be4df61, 0x93ca, 0x11d2,                                                                \
        {                                                                                          \
            0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c                                         \
        }                                                                                          \
    }
#define EFI_EVENT_GROUP_BEFORE_EXIT_BOOT_SERVICES                                                  \
    {                                                                                              \
        0x8be0e274, 0x3970, 0x4b44,                                                                \
        {                                                                                          \
            0x80, 0xc5, 0x1a, 0xb9, 0x50, 0x2f, 0x3b, 0xfc                                         \
        }                                                                                          \
    }
#define EFI_EVENT_GROUP_EXIT_BOOT_SERVICES                                                         \
    {                                                                                              \
        0x27abf055, 0xb1b8, 0x4c26,                                                                \
        {                                                                                          \
            0x80, 0x48, 0x74, 0x8f, 0x37, 0xba, 0xa2, 0xdf                                         \
        }                                                                                          \
    }
#define EFI_EVENT_GROUP_VIRTUAL_ADDRESS_CHANGE                                                     \
    {                                                                                              \
        0x13fa7698, 0xc831, 0x49c7,                                                                \
        {                                                                                          \
            0x87, 0xea, 0x8f, 0x43, 0xfc, 0xc2, 0x51, 0x96                                         \
        }                                                                                          \
    }
#define EFI_SIMPLE_FILE_SYSTEM_PROTOCOL_GUID                                                       \
    {                                                                                              \
        0x964e5b22, 0x6459, 0x11d2,                                                                \
        {                                                                                          \
            0x8e, 0x39, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b                                         \
        }                                                                                          \
    }

EFI_STATUS EFIAPI efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system);

#endif
